"""Pictures for the stand-in of the service: micrographs, spectra, an atlas, a square."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFilter


def draw_pictures(folder: Path, kinds: int = 6, size: int = 1024) -> None:
    """Draw micrographs (real ones where shared data are at hand), spectra, an atlas and a square."""
    if (folder / "square.png").exists() and (folder / f"spectrum{kinds - 1}.png").exists():
        return
    folder.mkdir(parents=True, exist_ok=True)
    shared = Path(os.environ.get("PASSERELLE_DATA", "../shared/data")) / "apoferritin_empiar10146" / "micrographs"
    real = sorted(shared.glob("*.png"))
    for kind in range(kinds):
        rng = np.random.default_rng(kind)
        picture = _real(real[kind % len(real)], size) if real else _phantom(rng, size)
        if kind == kinds - 1:
            picture = _icy(picture, rng)
        picture.save(folder / f"micrograph{kind}.png")
        picture.resize((384, 384), Image.Resampling.LANCZOS).save(folder / f"thumbnail{kind}.jpg", quality=85)
        _spectrum(rng, 512, 16000 + 2400 * kind, 300 + 150 * kind).save(folder / f"spectrum{kind}.png")
    _atlas(np.random.default_rng(99)).save(folder / "atlas.png")
    _square(np.random.default_rng(98)).save(folder / "square.png")


def _real(path: Path, size: int) -> Image.Image:
    data = np.asarray(Image.open(path)).astype(np.float32)
    low, high = np.percentile(data, (1, 99))
    return Image.fromarray((np.clip((data - low) / (high - low), 0, 1) * 255).astype(np.uint8)).resize((size, size))


def _phantom(rng: np.random.Generator, size: int) -> Image.Image:
    canvas = Image.new("L", (size, size), 128)
    draw = ImageDraw.Draw(canvas)
    for y, x in rng.uniform(0, size, (220, 2)):
        draw.ellipse((x - 13, y - 13, x + 13, y + 13), outline=96, width=5)
    data = np.asarray(canvas.filter(ImageFilter.GaussianBlur(2))).astype(np.float32) + rng.normal(0, 22, (size, size))
    return Image.fromarray(np.clip(data, 0, 255).astype(np.uint8)).filter(ImageFilter.GaussianBlur(1))


def _icy(picture: Image.Image, rng: np.random.Generator) -> Image.Image:
    mask = Image.new("L", picture.size, 0)
    draw = ImageDraw.Draw(mask)
    for y, x in rng.uniform(0, picture.size[0], (14, 2)):
        radius = rng.uniform(30, 110)
        draw.ellipse((x - radius, y - radius, x + radius, y + radius), fill=190)
    return Image.composite(Image.new("L", picture.size, 40), picture, mask.filter(ImageFilter.GaussianBlur(6)))


def _spectrum(rng: np.random.Generator, box: int, defocus: float, astigmatism: float) -> Image.Image:
    y, x = np.mgrid[:box, :box] - box // 2
    s = np.hypot(y, x) / box / 0.6666
    dz = defocus + astigmatism / 2 * np.cos(2 * (np.arctan2(y, x) - 0.6))
    chi = np.pi * 0.019687 * s**2 * dz - np.pi / 2 * 2.7e7 * 0.019687**3 * s**4 + 0.1
    ctf2 = np.sin(chi) ** 2 * np.exp(-60 * s**2)
    noise = rng.normal(0, 0.16, (box, box))
    noise = (noise + noise[::-1, ::-1]) / 2
    shown = np.where(x < 0, 0.25 + 0.55 * ctf2 + noise, 0.25 + 0.6 * ctf2)
    return Image.fromarray((np.clip(shown, 0, 1) * 255).astype(np.uint8))


def _atlas(rng: np.random.Generator) -> Image.Image:
    canvas = Image.new("L", (1200, 1200), 46)
    draw = ImageDraw.Draw(canvas)
    for i in range(10):
        for j in range(10):
            if (i - 4.5) ** 2 + (j - 4.5) ** 2 < 26:
                x, y = 60 + i * 108, 60 + j * 108
                draw.rounded_rectangle((x, y, x + 82, y + 82), 12, fill=int(rng.uniform(120, 220)))
    return canvas.rotate(7, fillcolor=46).filter(ImageFilter.GaussianBlur(2))


def _square(rng: np.random.Generator) -> Image.Image:
    canvas = Image.new("L", (900, 900), 150)
    draw = ImageDraw.Draw(canvas)
    for i in range(14):
        for j in range(14):
            x, y = 60 + i * 60, 60 + j * 60
            draw.ellipse((x - 17, y - 17, x + 17, y + 17), fill=int(rng.uniform(185, 225)))
    data = np.asarray(canvas.filter(ImageFilter.GaussianBlur(2))).astype(np.float32) + rng.normal(0, 6, (900, 900))
    return Image.fromarray(np.clip(data, 0, 255).astype(np.uint8))
