"""Makes the HDF5 fixtures of this folder: datasets as users make them with h5py.

    python Tests/Fixtures/hdf5/generate.py        (h5py 3, numpy 2; no randomness)

Each holds the same three training examples and one validation example, stored differently.
"""
import pathlib

import h5py
import numpy as np

HERE = pathlib.Path(__file__).parent
TOKENS = [1, 2, 3, 4, 5, 6, 7, 8, 99]
MASK = [1, 0, 1, 0, 1, 1, 0, 0, 1]
OFFSETS = [0, 3, 7, 9]
SHA = "ab" * 32


def attributes(file, fixed=False):
    file.attrs["format"] = np.bytes_("swift-peft-dataset") if fixed else "swift-peft-dataset"
    file.attrs["version"] = 1
    file.attrs["vocab_size"] = np.uint32(100) if fixed else 100
    file.attrs["tokenizer_sha256"] = np.bytes_(SHA) if fixed else SHA


def splits(file, token_type, mask_type, offset_type, **options):
    for name, tokens, mask, offsets in (
        ("train", TOKENS, MASK, OFFSETS),
        ("validation", [10, 11, 12], [0, 1, 1], [0, 3]),
    ):
        group = file.create_group(name)
        group.create_dataset("tokens", data=np.array(tokens, token_type), **options)
        group.create_dataset("loss_mask", data=np.array(mask, mask_type), **options)
        group.create_dataset("offsets", data=np.array(offsets, offset_type), **options)


# The table of the interface, h5py's defaults: contiguous, text of variable length.
with h5py.File(HERE / "contiguous.h5", "w") as file:
    attributes(file)
    splits(file, np.uint32, np.uint8, np.uint64)

# Compressed in small chunks, text of fixed length.
with h5py.File(HERE / "gzip.h5", "w") as file:
    attributes(file, fixed=True)
    splits(file, np.uint32, np.uint8, np.uint64, chunks=(2,), compression="gzip", shuffle=True,
           fletcher32=True)

# NumPy's default integers everywhere, and a mask of booleans.
with h5py.File(HERE / "int64.h5", "w") as file:
    attributes(file)
    splits(file, np.int64, np.bool_, np.int64)

# Big-endian 16-bit tokens, 32-bit offsets, the newest file format.
with h5py.File(HERE / "big_endian.h5", "w", libver="latest") as file:
    attributes(file)
    splits(file, ">u2", np.int8, ">i4", chunks=True)

# A token that is no uint32.
with h5py.File(HERE / "negative_token.h5", "w") as file:
    attributes(file)
    splits(file, np.int64, np.uint8, np.uint64)
    file["train/tokens"][5] = -1

# All that the HDF5 module reads besides: types, ranks, attributes, nested groups.
with h5py.File(HERE / "types.h5", "w") as file:
    file.attrs["int64"] = -7
    file.attrs["uint64"] = np.uint64(2**64 - 1)
    file.attrs["float64"] = 0.1
    file.attrs["float32"] = np.float32(0.5)
    file.attrs["text"] = "Grüße, 世界"
    file.attrs["fixed"] = np.bytes_(b"fixed")
    file.attrs["one"] = np.array([5])
    file.attrs["two"] = np.array([5, 6])
    file.attrs["empty"] = ""
    file["float32"] = np.arange(6, dtype=np.float32).reshape(2, 3) / 4
    file["float64"] = np.array([0.1, 1e300])
    file["half"] = np.array([0.5, -2], np.float16)
    file["uint8"] = np.array([0, 255], np.uint8)
    file["int32"] = np.array([-1, 2**31 - 1], np.int32)
    file["uint64"] = np.array([2**64 - 1], np.uint64)
    file["scalar"] = np.float64(2.5)
    file["strings"] = np.array([b"a", b"b"])
    file["none"] = np.zeros((0, 4), np.float32)
    file["a/b.c/d"] = np.array([1, 2, 3], np.int16)
    file["a/loop"] = file["a"]
    # A filter that comes with h5py and not with HDF5.
    file.create_dataset("lzf", data=np.zeros(1000, np.uint32), compression="lzf")
    file["dangling"] = h5py.SoftLink("/nowhere")

# Text of variable length where object headers differ: the newer format, in parts, behind other bytes,
# and where only the library finds it.
(HERE / "attributes").mkdir(exist_ok=True)
for name, count, options in (
    ("newer", 6, {"libver": "latest"}),
    ("parts", 30, {}),
    ("behind", 3, {"userblock_size": 512}),
    ("dense", 9, {"libver": "latest"}),
):
    with h5py.File(HERE / "attributes" / f"{name}.h5", "w", **options) as file:
        for index in range(count):
            file.attrs[f"text{index}"] = f"{name} {index} " + "ä" * index
            # Between two attributes, so that a header grows in parts.
            file[f"numbers/{index}"] = np.uint8(index)


def refused(name, libver=None, **storage):
    """A dataset of which /train/tokens is not what training may read."""
    file = h5py.File(HERE / "refused" / f"{name}.h5", "w", libver=libver)
    attributes(file)
    group = file.create_group("train")
    group.create_dataset("loss_mask", data=np.array(MASK, np.uint8))
    group.create_dataset("offsets", data=np.array(OFFSETS, np.uint64))
    return file, group


(HERE / "refused").mkdir(exist_ok=True)
SHAPE = (len(TOKENS),)

# Created and never written, whole or in part: readers see fill values.
file, group = refused("unwritten")
group.create_dataset("tokens", SHAPE, np.uint32)
file.close()
file, group = refused("unwritten_chunk")
group.create_dataset("tokens", SHAPE, np.uint32, chunks=(2,))[:4] = TOKENS[:4]
file.close()
file, group = refused("unwritten_packed_chunk")
group.create_dataset("tokens", SHAPE, np.uint32, chunks=(2,), compression="gzip")[2:] = TOKENS[2:]
file.close()

# Data in other files. The names are of files that are there on every system.
file, group = refused("external")
group.create_dataset("tokens", SHAPE, np.uint32, external=[("/etc/passwd", 0, 36)])
file.close()
file, group = refused("virtual")
layout = h5py.VirtualLayout(SHAPE, np.uint32)
layout[:] = h5py.VirtualSource("../contiguous.h5", "train/tokens", SHAPE)
group.create_virtual_dataset("tokens", layout, fillvalue=0)
file.close()
file, group = refused("external_link")
group["tokens"] = h5py.ExternalLink("../contiguous.h5", "/train/tokens")
file.close()
file, group = refused("link_through_external")
file["other"] = h5py.ExternalLink("../contiguous.h5", "/train")
group["tokens"] = h5py.SoftLink("/other/tokens")
file.close()

# Links and types that lead to no numbers.
file, group = refused("dangling")
group["tokens"] = h5py.SoftLink("/nowhere")
file.close()
file, group = refused("null")
group["tokens"] = h5py.Empty(np.uint32)
file.close()
file, group = refused("scalar")
group["tokens"] = np.uint32(3)
file.close()
file, group = refused("compound")
group["tokens"] = np.zeros(SHAPE, np.dtype([("a", np.uint32)]))
file.close()
file, group = refused("real")
group["tokens"] = np.zeros(SHAPE, np.float32)
file.close()

# Filters and formats that the library may lack: lzf comes with h5py; HDF5 2.0's own newest layout
# of packed chunks needs HDF5 2.0.
file, group = refused("lzf")
del group["loss_mask"], group["offsets"]
group.create_dataset("tokens", data=np.zeros(1000, np.uint32), compression="lzf")
group.create_dataset("loss_mask", data=np.ones(1000, np.uint8))
group.create_dataset("offsets", data=np.array([0, 1000], np.uint64))
file.close()
file, group = refused("newer", libver="latest")
group.create_dataset("tokens", data=np.array(TOKENS, np.uint32), chunks=(2,), compression="gzip")
file.close()

# Links within the file are followed.
with h5py.File(HERE / "linked.h5", "w") as file:
    attributes(file)
    splits(file, np.uint32, np.uint8, np.uint64)
    file.move("train/tokens", "elsewhere")
    file["train/tokens"] = h5py.SoftLink("/elsewhere")
    file.move("train/loss_mask", "mask")
    file["train/loss_mask"] = file["mask"]
