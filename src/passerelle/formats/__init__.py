"""Bytes to arrays and back, through the field's libraries: one MovieReader protocol, frames as (t, y, x)."""

from passerelle.formats.defects import read_defects
from passerelle.formats.dm_write import write_dm
from passerelle.formats.eer import EerOptions
from passerelle.formats.eer_write import write_eer_movie
from passerelle.formats.gain import fit_gain, read_gain
from passerelle.formats.mrc_write import write_mrc, write_mrc_stack
from passerelle.formats.opening import MOVIE_SUFFIXES, load_stack, open_movie, read_header, read_image
from passerelle.formats.raw import RawLayout
from passerelle.formats.reader import MovieHeader, MovieReader
from passerelle.formats.recompress import Recompressed, recompress_movie, target_of
from passerelle.formats.star import StarBlock, read_star, write_star
from passerelle.formats.star_micrographs import MicrographRow, OpticsGroup, micrographs_star
from passerelle.formats.tiff_write import write_tiff_movie

__all__ = [
    "MOVIE_SUFFIXES",
    "EerOptions",
    "MicrographRow",
    "MovieHeader",
    "MovieReader",
    "OpticsGroup",
    "RawLayout",
    "Recompressed",
    "StarBlock",
    "fit_gain",
    "load_stack",
    "micrographs_star",
    "open_movie",
    "read_defects",
    "read_gain",
    "read_header",
    "read_image",
    "read_star",
    "recompress_movie",
    "target_of",
    "write_dm",
    "write_eer_movie",
    "write_mrc",
    "write_mrc_stack",
    "write_star",
    "write_tiff_movie",
]
