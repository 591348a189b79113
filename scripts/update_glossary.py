"""Write the glossary of metrics from their registry into the page about run folders.

python scripts/update_glossary.py
"""

from pages import replace_part

from effdl.report.glossary import glossary

if __name__ == "__main__":
    replace_part("effdl/runs/README.md", "glossary", glossary())
