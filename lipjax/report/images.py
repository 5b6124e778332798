"""Pictures of images: rows and columns of them, each with a caption."""

import base64
import io
from collections.abc import Sequence

import altair as alt
import numpy as np
import pandas as pd
from jaxtyping import Float

from lipjax.report.figures import data

GAP = 8


def encoded(image: Float[np.ndarray, "height width channel"]) -> str:
    """An image in [0, 1] as a PNG in a data URL.

    Examples:
        >>> encoded(np.zeros((2, 2, 1)))[:22]
        'data:image/png;base64,'
    """
    from PIL import Image

    levels = np.round(255 * np.clip(np.asarray(image, float), 0, 1)).astype(np.uint8)
    stream = io.BytesIO()
    Image.fromarray(levels[..., 0] if levels.shape[-1] == 1 else levels[..., :3]).save(stream, "PNG", optimize=True)
    return f"data:image/png;base64,{base64.b64encode(stream.getvalue()).decode()}"


def differences(
    images: Float[np.ndarray, "images height width channel"], others: Float[np.ndarray, "images height width channel"]
) -> tuple[Float[np.ndarray, "images height width channel"], float]:
    """Differences of images on one scale, grey for none, and the difference that is drawn black or white."""
    changes = np.asarray(others, float) - np.asarray(images, float)
    largest = float(np.abs(changes).max(initial=0.0))
    return 0.5 + 0.5 * changes / (largest or 1.0), largest


def image_grid(
    images: Sequence[Sequence[Float[np.ndarray, "height width channel"]]],
    *,
    rows: Sequence[str] = (),
    columns: Sequence[str] = (),
    captions: Sequence[Sequence[str]] = (),
    size: int = 72,
) -> alt.LayerChart:
    """Images in rows and columns.

    Args:
        images: Rows of images in [0, 1].
        rows: What each row is, to its left.
        columns: What each column is, above it.
        captions: Rows of captions, below each image; lines are separated by newlines.
        size: Side of an image on the screen, in pixels.

    Returns:
        The chart.
    """
    lines = [max((text.count("\n") + 1 for text in row if text), default=0) for row in captions or [()] * len(images)]
    wide, tops = size + GAP, np.cumsum([0, *(size + GAP + 12 * count for count in lines)]).tolist()
    cells = [
        {
            "x": column * wide + size / 2,
            "y": tops[row] + size / 2,
            "url": encoded(image),
            "caption": captions[row][column] if captions else "",
        }
        for row, listed in enumerate(images)
        for column, image in enumerate(listed)
    ]
    place = {"x": alt.X("x:Q", axis=None, scale=None), "y": alt.Y("y:Q", axis=None, scale=None)}
    picture = alt.Chart(data(pd.DataFrame(cells), "images")).mark_image(width=size, height=size, smooth=False)
    below = alt.Chart(data(pd.DataFrame(cells).drop(columns="url"), "captions")).mark_text(
        baseline="top", dy=size / 2 + 3, fontSize=10, lineBreak="\n", lineHeight=12, limit=wide
    )
    heads = [{"x": index * wide + size / 2, "y": -6.0, "text": text} for index, text in enumerate(columns)]
    sides = [{"x": -8.0, "y": tops[index] + size / 2, "text": text} for index, text in enumerate(rows)]
    layers = [picture.encode(**place, url="url:N"), below.encode(**place, text="caption:N")]
    if heads:
        layers.append(_words(heads, "columns", place, baseline="bottom", limit=wide))
    if sides:
        layers.append(_words(sides, "rows", place, align="right", baseline="middle", limit=170))
    width = wide * max(map(len, images)) - GAP
    return alt.layer(*layers).properties(width=width, height=tops[-1] - GAP, view=alt.ViewConfig(stroke=None))


def _words(words: list[dict], name: str, place: dict, **options: object) -> alt.Chart:
    chart = alt.Chart(data(pd.DataFrame(words), name)).mark_text(fontSize=11, lineBreak="\n", **options)
    return chart.encode(**place, text="text:N")
