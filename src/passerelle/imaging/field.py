"""The motion of a specimen during an exposure, as a smooth function of frame and place."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class MotionField:
    """Where the specimen stands in each frame, relative to where it stands in the corrected micrograph.

    Convention of the whole product: `frame_t(y + dy, x + dx) = micrograph(y, x)`, with (dy, dx) = global_px[t] + local, in pixels
    of the movie. Reference: the place at the middle frame of the exposure, global and local both zero there.

    global_px: (t, 2) as (dy, dx). local_px: (2, t, gy, gx), displacement on a regular grid of control points that spans the
    picture from edge to edge (first point at y = 0, last at y = height - 1), to be interpolated bilinearly in space; a finer
    grid is a smoother field. height, width: of a frame, pixels.
    """

    global_px: NDArray[np.float64]
    local_px: NDArray[np.float32]
    height: int
    width: int

    @property
    def frames(self) -> int:
        return int(self.global_px.shape[0])

    def at(self, frame: int, y: NDArray[Any] | float, x: NDArray[Any] | float) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return the displacement (dy, dx) in pixels at places (y, x) of frame `frame`; y and x broadcast."""
        _, _, gy, gx = self.local_px.shape
        rows = np.clip(np.asarray(y, np.float64) * ((gy - 1) / max(self.height - 1, 1)), 0, gy - 1)
        columns = np.clip(np.asarray(x, np.float64) * ((gx - 1) / max(self.width - 1, 1)), 0, gx - 1)
        rows, columns = np.broadcast_arrays(rows, columns)
        y0 = np.minimum(rows.astype(np.intp), max(gy - 2, 0))
        x0 = np.minimum(columns.astype(np.intp), max(gx - 2, 0))
        y1, x1 = np.minimum(y0 + 1, gy - 1), np.minimum(x0 + 1, gx - 1)
        fy, fx = rows - y0, columns - x0
        grid = self.local_px[:, frame].astype(np.float64)
        upper = grid[:, y0, x0] * (1 - fx) + grid[:, y0, x1] * fx
        lower = grid[:, y1, x0] * (1 - fx) + grid[:, y1, x1] * fx
        local = upper * (1 - fy) + lower * fy
        return self.global_px[frame, 0] + local[0], self.global_px[frame, 1] + local[1]
