"""The plans of a search in a database, so that processes that share one search number them alike and try none twice."""

from collections.abc import Iterator
from contextlib import contextmanager

from effdl.search.plan import Plan
from effdl.utils.errors import RunError, UserError

try:
    import sqlalchemy as sql
    from sqlalchemy.exc import ArgumentError, IntegrityError, SQLAlchemyError
except ImportError as error:
    raise UserError(f"search: {error}; install it with: pip install 'effdl[search]'") from error

_HIDDEN = "***"  # SQLAlchemy's, instead of a password
_TABLE = sql.Table(
    "effdl_trials",
    sql.MetaData(),
    sql.Column("study", sql.String(64), primary_key=True),
    sql.Column("number", sql.Integer, primary_key=True, autoincrement=False),
    sql.Column("digest", sql.String(64), nullable=False),  # of the plan: databases bound the length of what is unique
    sql.Column("plan", sql.Text, nullable=False),
    sql.UniqueConstraint("study", "digest"),
)


class Study:
    """The plans of one search, numbered from 1 in the order in which they were asked for.

    Args:
        url: of the database, as SQLAlchemy has it: ``sqlite:///FILE``, ``postgresql://...``.
        name: of the search in the database.

    Raises:
        UserError: there is no such database, or its driver is not installed.
    """

    def __init__(self, url: str, name: str):
        self.name = name
        try:
            self._engine = sql.create_engine(url)
            _TABLE.create(self._engine, checkfirst=True)
        except (ArgumentError, SQLAlchemyError, ImportError) as error:
            said = str(error).splitlines()[0]
            allowed = "allowed: sqlite:///FILE, postgresql://USER@HOST/NAME, ..."
            raise UserError(f"storage={without_password(url)}: {said} ({allowed})") from error

    def number_of(self, plan: Plan, limit: int) -> int | None:
        """The number of a plan: a new one, if nobody has asked for it; None: there are `limit` plans already.

        Raises:
            RunError: the database does not answer.
        """
        while True:
            with self._connected() as connection:
                mine = _TABLE.c.study == self.name
                count = connection.scalar(sql.select(sql.func.count()).select_from(_TABLE).where(mine))
                found = connection.scalar(sql.select(_TABLE.c.number).where(mine, _TABLE.c.digest == plan.digest))
                if found is not None:
                    return found
                if count >= limit:
                    return None
                new = {"study": self.name, "number": count + 1, "digest": plan.digest, "plan": plan.to_json()}
                try:
                    connection.execute(_TABLE.insert().values(new))
                    return count + 1
                except IntegrityError:  # another process was faster: with this plan, or with this number
                    connection.rollback()

    def plans(self) -> dict[int, Plan]:
        """All plans by their numbers, in order.

        Raises:
            RunError: the database does not answer.
        """
        with self._connected() as connection:
            rows = connection.execute(
                sql.select(_TABLE.c.number, _TABLE.c.plan).where(_TABLE.c.study == self.name).order_by(_TABLE.c.number)
            )
            return {number: Plan.from_json(text) for number, text in rows}

    @contextmanager
    def _connected(self) -> Iterator[sql.Connection]:
        """A transaction.

        Raises:
            RunError: the database does not answer.
        """
        try:
            with self._engine.begin() as connection:
                yield connection
        except SQLAlchemyError as error:
            raise RunError(f"{without_password(str(self._engine.url))}: {str(error).splitlines()[0]}") from error


def without_password(url: str) -> str:
    """The address of a database for people and files."""
    try:
        return sql.make_url(url).render_as_string(hide_password=True)
    except ArgumentError:
        return url


def has_hidden_password(url: str) -> bool:
    """Whether an address that was kept lacks its password."""
    return f":{_HIDDEN}@" in url
