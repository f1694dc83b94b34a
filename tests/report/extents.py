"""Where the texts of a figure lie once it is drawn."""

from itertools import pairwise

from matplotlib.backends.backend_agg import FigureCanvasAgg


def require_readable(figure):
    """No title and no label is cut off at the figure's edge, and no label of a row covers the one below."""
    FigureCanvasAgg(figure).draw()
    edge = figure.bbox
    for axis in figure.axes:
        rows = axis.get_yticklabels()
        for text in (axis.title, axis.xaxis.label, axis.yaxis.label, *rows):
            box = text.get_window_extent()
            inside = box.x0 >= edge.x0 and box.x1 <= edge.x1 and box.y0 >= edge.y0 and box.y1 <= edge.y1
            assert inside, f"{text.get_text()!r} is cut off"
        boxes = sorted((label.get_window_extent() for label in rows), key=lambda box: box.y0)
        assert all(low.y1 <= high.y0 for low, high in pairwise(boxes)), "labels of rows overlap"
