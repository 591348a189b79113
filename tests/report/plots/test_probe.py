from effdl.report.plots import probe


def test_a_long_title_fits_the_picture(monkeypatch):
    monkeypatch.setattr(probe, "png", lambda figure: figure)
    keys = ("linear_top1", "val_linear_top1", "knn_top1", "val_knn_top1")
    figure = probe.probe_curves([{"part": "stem", **dict.fromkeys(keys, 0.5)}], "dataset.root=somewhere " * 20)
    figure.draw_without_rendering()
    extent = figure._suptitle.get_window_extent()
    assert extent.x0 >= 0
    assert extent.x1 <= figure.bbox.width
