"""The nineteen formulas once more: NumPy in double precision, one image, loops where loops are the definition.

SciPy filters and resamples, Pillow codes JPEG and resizes, colorsys converts colours. `ORACLES[name](image, draws,
**row)` is what `corruptions.apply` has to return, for the `strengths` of a corruption of `SEVERITIES`.
"""

import colorsys
import io

import numpy as np
import scipy.ndimage
from PIL import Image

from lipjax import values

LUMA = np.array([0.299, 0.587, 0.114])


def quantised(pixels):
    return (255 * np.clip(pixels, 0, 1) + 1e-9).astype(np.uint8)


def gaussian(z, sd, mode="nearest", truncate=4.0):
    axes = (sd, sd, 0)[: z.ndim]
    return scipy.ndimage.gaussian_filter(z, axes, mode=mode, truncate=truncate)


def gaussian_noise(x, draws, sd):
    return quantised(x / 255 + sd * draws["noise"])


def speckle_noise(x, draws, sd):
    return quantised(x / 255 + x / 255 * sd * draws["noise"])


def impulse_noise(x, draws, amount):
    y = x.copy()
    y[draws["hit"] & draws["salt"]] = 255
    y[draws["hit"] & ~draws["salt"]] = 0
    return y


def shot_noise(x, draws, photons):
    return (255 * np.clip(draws["counts"] / photons, 0, 1)).astype(np.uint8)


def gaussian_blur(x, draws, sd):
    return quantised(gaussian(x / 255, sd))


def defocus_blur(x, draws, radius, alias):
    reach, taps = (8, 1) if radius <= 8 else (int(radius), 2)
    i, j = np.mgrid[-reach : reach + 1, -reach : reach + 1]
    kernel = (i**2 + j**2 <= radius**2).astype(float)
    kernel /= kernel.sum()
    weights = np.exp(-(np.arange(-taps, taps + 1) ** 2) / (2 * alias**2))
    for axis in (0, 1):
        kernel = scipy.ndimage.correlate1d(kernel, weights / weights.sum(), axis, mode="mirror")
    return quantised(scipy.ndimage.correlate(x / 255, kernel[:, :, None], mode="mirror"))


def glass_blur(x, draws, sd, reach, iterations):
    height, width, _ = x.shape
    y = (255 * gaussian(x / 255, sd) + 1e-9).astype(np.uint8)
    for offsets in draws["offsets"]:
        for row, h in enumerate(range(height - reach, reach, -1)):
            for column, w in enumerate(range(width - reach, reach, -1)):
                dx, dy = offsets[row, column]
                y[h, w] = y[h + dy, w + dx]
    return quantised(gaussian(y / 255, sd))


def motion(v, radius, sd, angle):
    distance = np.arange(2 * radius + 1)
    kernel = np.exp(-(distance**2) / (2 * sd**2))
    kernel /= kernel.sum()
    theta = np.deg2rad(angle)
    rows, columns = np.indices(v.shape[:2])
    total = np.zeros(v.shape)
    for i, weight in enumerate(kernel):
        y = np.clip(rows + int(np.ceil(i * np.sin(theta) - 0.5)), 0, v.shape[0] - 1)
        x = np.clip(columns + int(np.ceil(i * np.cos(theta) - 0.5)), 0, v.shape[1] - 1)
        total += weight * v[y, x]
    return np.floor(np.floor(257 * total + 0.5) / 257)


def motion_blur(x, draws, radius, sd):
    return motion(x.astype(float), radius, sd, draws["angle"]).astype(np.uint8)


def zoom_axis(z, factor, axis):
    size = z.shape[axis]
    kept = int(np.ceil(size / factor))
    enlarged = round(kept * factor)
    top, trim = (size - kept) // 2, (enlarged - size) // 2
    source = np.linspace(0, kept - 1, enlarged)[trim : trim + size]
    middle = np.moveaxis(z, axis, 0)[top : top + kept].reshape(kept, -1)
    columns = [np.interp(source, np.arange(kept), column) for column in middle.T]
    return np.moveaxis(np.stack(columns, 1).reshape(size, *np.moveaxis(z, axis, 0).shape[1:]), 0, axis)


def zoomed(z, factor):
    return zoom_axis(zoom_axis(z, factor, 0), factor, 1)


def zoom_blur(x, draws, stop, step):
    """Each enlargement in double precision; they are kept and added up in single precision."""
    u, factors = (x / 255).astype(np.float32), np.arange(1, stop, step)
    total = np.zeros_like(u)
    for factor in factors:
        total += zoomed(u.astype(float), factor).astype(np.float32)
    mean = (u + total) / np.float32(len(factors) + 1)
    return (np.float32(255) * np.clip(mean, 0, 1)).astype(np.uint8)


def grey(u):
    return u if u.shape[-1] == 1 else (u @ LUMA)[..., None]


def snow(x, draws, mean, sd, enlargement, threshold, radius, blur, mix):
    layer = zoomed(mean + sd * np.asarray(draws["layer"], float), enlargement)
    layer[layer < threshold] = 0
    layer = motion(np.floor(255 * np.clip(layer, 0, 1)), radius, blur, draws["angle"])[..., None] / 255
    u = x / 255
    white = mix * u + (1 - mix) * np.maximum(u, 1.5 * grey(u) + 0.5)
    return quantised(white + layer + np.rot90(layer, 2))


def frost(x, draws, image_weight, frost_weight, scale):
    texture = draws["texture"].astype(float)
    texture = texture if x.shape[-1] == 3 else grey(texture)
    return np.clip(image_weight * x + frost_weight * texture + 1e-9, 0, 255).astype(np.uint8)


def plasma(uniform, decay):
    n = 2 ** len(uniform)
    m, step, amplitude = np.zeros((n, n)), n, 100.0
    for centre_noise, top_noise, side_noise in uniform:
        h = step // 2
        c = m[::step, ::step]
        right, down = np.roll(c, -1, 1), np.roll(c, -1, 0)
        e = (c + right + down + np.roll(right, -1, 0)) / 4 + amplitude**2 * np.asarray(centre_noise)
        m[h::step, h::step] = e
        m[0::step, h::step] = (e + np.roll(e, 1, 0) + c + right) / 4 + amplitude**2 * np.asarray(top_noise)
        m[h::step, 0::step] = (e + np.roll(e, 1, 1) + c + down) / 4 + amplitude**2 * np.asarray(side_noise)
        step, amplitude = h, amplitude / decay
    return (m - m.min()) / (m.max() - m.min())


def fog(x, draws, amount, decay):
    u = x / 255
    cloud = plasma(draws["uniform"], decay)[: x.shape[0], : x.shape[1], None]
    return quantised((u + amount * cloud) * u.max() / (u.max() + amount))


def through_hsv(x, change):
    flat = [colorsys.hsv_to_rgb(*change(*colorsys.rgb_to_hsv(*pixel))) for pixel in x.reshape(-1, 3) / 255]
    return quantised(np.array(flat).reshape(x.shape))


def brightness(x, draws, shift):
    if x.shape[-1] == 1:
        return quantised(x / 255 + shift)
    return through_hsv(x, lambda h, s, v: (h, s, min(v + shift, 1)))


def saturate(x, draws, factor, shift):
    if x.shape[-1] == 1:
        return x
    return through_hsv(x, lambda h, s, v: (h, min(s * factor + shift, 1), v))


def contrast(x, draws, factor):
    u = x / 255
    mean = u.mean(axis=(0, 1))
    return quantised((u - mean) * factor + mean)


def elastic_transform(x, draws, amplitude, smoothness, jitter):
    height, width = x.shape[:2]
    side = min(height, width)
    centre, q = np.array([width // 2, height // 2]), side // 3
    points = centre + np.array([[q, q], [q, -q], [-q, -q]], float)
    targets = points + jitter * side * np.asarray(draws["affine"])
    # The affine map from targets to points: coefficients solve [x, y, 1] @ coefficients = [x', y'].
    coefficients = np.linalg.solve(np.column_stack([targets, np.ones(3)]), points)
    rows, columns = np.indices((height, width)).astype(float)
    moved = np.stack([columns, rows, np.ones_like(rows)], axis=-1) @ coefficients
    u = sampled(x / 255, moved[..., 1], moved[..., 0], "mirror")
    dx, dy = (
        amplitude * side * gaussian(np.asarray(draws[name], float), smoothness * side, "reflect", truncate=3.0)
        for name in ("dx", "dy")
    )
    return quantised(sampled(u, rows + dy, columns + dx, "reflect"))


def sampled(u, rows, columns, mode):
    planes = [scipy.ndimage.map_coordinates(u[..., c], (rows, columns), order=1, mode=mode) for c in range(u.shape[-1])]
    return np.stack(planes, axis=-1)


def through_pillow(x, change):
    return np.asarray(change(Image.fromarray(x[..., 0] if x.shape[-1] == 1 else x))).reshape(x.shape)


def pixelate(x, draws, factor):
    height, width, _ = x.shape
    small = (int(width * factor), int(height * factor))
    return through_pillow(
        x, lambda picture: picture.resize(small, Image.Resampling.BOX).resize((width, height), Image.Resampling.BOX)
    )


def jpeg_compression(x, draws, quality):
    def recoded(picture):
        file = io.BytesIO()
        picture.save(file, "JPEG", quality=quality)
        return Image.open(file)

    return through_pillow(x, recoded)


def spatter(x, draws, mean, sd, blur, threshold, strength, mud):
    layer = gaussian(mean + sd * np.asarray(draws["layer"], float), blur)
    colour = np.array([63, 42, 20] if mud else [175, 238, 238]) / 255
    colour = colour if x.shape[-1] == 3 else grey(colour)
    if mud:
        cover = gaussian((layer > threshold).astype(float), strength)[..., None]
        cover[cover < 0.8] = 0
        return quantised(x / 255 * (1 - cover) + cover * colour)
    liquid = np.where(layer < threshold, 0, np.floor(255 * layer)).astype(int) % 256
    relief = liquid * shading(liquid)
    opacity = strength * relief / max(relief.max(), 1)
    return quantised(x / 255 + opacity[..., None] * colour)


def shading(liquid):
    depth = np.minimum(chamfer(canny(liquid, 50, 150)), 20)
    depth = np.floor(neighbourhood(depth, np.ones((3, 3))) / 9 + 1e-9).astype(int)
    counts = np.bincount(depth.ravel(), minlength=21)
    lowest = np.flatnonzero(counts)[0]
    if counts[lowest] < depth.size:
        scale = np.float32(255) / np.float32(depth.size - counts[lowest])
        depth = np.rint(np.float32(np.cumsum(counts) - counts[lowest]) * scale).astype(int)[depth]
    lit = np.clip(neighbourhood(depth, np.array([[-2, -1, 0], [-1, 1, 1], [0, 1, 2]])), 0, 255)
    return np.rint(neighbourhood(lit, np.ones((3, 3))) / 9).astype(int)


def neighbourhood(plane, kernel):
    return scipy.ndimage.correlate(plane.astype(float), kernel, mode="mirror")


def canny(levels, low, high):
    """Edges by the definition, pixel by pixel, with angles in degrees in place of fixed-point tangents."""
    sobel = np.array([[-1, 0, 1], [-2, 0, 2], [-1, 0, 1]])
    gx, gy = (scipy.ndimage.correlate(levels.astype(float), kernel, mode="nearest") for kernel in (sobel, sobel.T))
    length = np.pad(np.abs(gx) + np.abs(gy), 1)
    weak = np.zeros(levels.shape, bool)
    for i, j in np.ndindex(levels.shape):
        around = length[i : i + 3, j : j + 3]
        steepness = np.degrees(np.arctan2(abs(gy[i, j]), abs(gx[i, j])))
        if steepness < 22.5:
            ridge = around[1, 1] > around[1, 0] and around[1, 1] >= around[1, 2]
        elif steepness > 67.5:
            ridge = around[1, 1] > around[0, 1] and around[1, 1] >= around[2, 1]
        elif (gx[i, j] < 0) == (gy[i, j] < 0):
            ridge = around[1, 1] > max(around[0, 0], around[2, 2])
        else:
            ridge = around[1, 1] > max(around[0, 2], around[2, 0])
        weak[i, j] = ridge and around[1, 1] > low
    groups, _ = scipy.ndimage.label(weak, np.ones((3, 3)))
    strong = np.unique(groups[weak & (length[1:-1, 1:-1] > high)])
    return weak & np.isin(groups, strong)


def chamfer(edges):
    """Distance by the closed form of the shortest way with steps (1, 0), (1, 1) and (2, 1)."""
    axial, diagonal, knight = 1.0, round(1.4 * 65536) / 65536, round(2.1969 * 65536) / 65536
    rows, columns = np.indices(edges.shape)
    best = np.full(edges.shape, 20.0)
    for i, j in np.argwhere(edges):
        apart = np.abs(np.stack([rows - i, columns - j]))
        far, near = apart.max(axis=0), apart.min(axis=0)
        flat = (far - 2 * near) * axial + near * knight
        steep = (far - near) * knight + (2 * near - far) * diagonal
        best = np.minimum(best, np.where(far >= 2 * near, flat, steep))
    return best


ORACLES = {
    oracle.__name__: oracle
    for oracle in (
        gaussian_noise,
        shot_noise,
        impulse_noise,
        defocus_blur,
        glass_blur,
        motion_blur,
        zoom_blur,
        snow,
        frost,
        fog,
        brightness,
        contrast,
        elastic_transform,
        pixelate,
        jpeg_compression,
        speckle_noise,
        gaussian_blur,
        spatter,
        saturate,
    )
}


def pictures(shape):
    """Uint8 images of one shape: constant, black, stripes, white noise, and smooth noise at three scales."""
    rng = np.random.default_rng(0)
    stripes = np.arange(shape[0])[:, None, None] // 4 % 2 * 255
    images = [np.full(shape, 127), np.zeros(shape), np.broadcast_to(stripes, shape), rng.integers(0, 256, shape)]
    for scale in (1, 2, 3):
        field = scipy.ndimage.gaussian_filter(rng.normal(size=shape), (scale, scale, 0))
        images.append(255 * (field - field.min()) / np.ptp(field))
    return [image.astype(np.uint8) for image in images]


def uniform(rng, *shape):
    return rng.uniform(-1, 1, shape).astype(np.float32)


def normal(rng, *shape):
    return rng.normal(size=shape).astype(np.float32)


def plasma_draws(rng, shape, row):
    levels = int(np.ceil(np.log2(max(shape[:2]))))
    return {"uniform": [[uniform(rng, 2**k, 2**k) for _ in range(3)] for k in range(levels)]}


def glass_draws(rng, shape, row):
    reach = row["reach"]
    visits = (row["iterations"], shape[0] - 2 * reach, shape[1] - 2 * reach, 2)
    return {"offsets": rng.integers(-reach, reach, visits)}


def elastic_draws(rng, shape, row):
    return {"affine": uniform(rng, 3, 2), "dx": uniform(rng, *shape[:2]), "dy": uniform(rng, *shape[:2])}


DRAWS = {
    "gaussian_noise": lambda rng, shape, row: {"noise": normal(rng, *shape)},
    "speckle_noise": lambda rng, shape, row: {"noise": normal(rng, *shape)},
    "shot_noise": lambda rng, shape, row: {"counts": rng.poisson(rng.random(shape) * row["photons"])},
    "impulse_noise": lambda rng, shape, row: {
        "hit": rng.random(shape) < row["amount"],
        "salt": rng.random(shape) < 0.5,
    },
    "glass_blur": glass_draws,
    "motion_blur": lambda rng, shape, row: {"angle": np.float32(rng.uniform(-45, 45))},
    "snow": lambda rng, shape, row: {
        "layer": normal(rng, *shape[:2]),
        "angle": np.float32(rng.uniform(-135, -45)),
    },
    "frost": lambda rng, shape, row: {"texture": rng.integers(0, 256, (*shape[:2], 3)).astype(np.uint8)},
    "fog": plasma_draws,
    "elastic_transform": elastic_draws,
    "spatter": lambda rng, shape, row: {"layer": normal(rng, *shape[:2])},
}


def random_draws(name, seed, shape, row):
    """The named random numbers of a corruption, from NumPy; `{}` where nothing is random."""
    return DRAWS[name](np.random.default_rng(seed), shape, row) if name in DRAWS else {}


def strengths(corruption):
    """The settings of a corruption as arguments of its oracle; whole numbers are ints, as Pillow wants its quality."""
    row = {name: number for name, number in values.settings(corruption).items() if number is not None}
    return {name: int(number) if number == int(number) else number for name, number in row.items()}
