"""Writes small valid inputs to start the fuzz targets from: python3 fuzz/seeds.py (needs Pillow).

With numpy and tifffile there are more kinds of TIFF among them, with torch what it really writes.
"""
import importlib.util
import io
import json
import math
import pathlib
import pickletools
import struct
import zipfile
import zlib

from PIL import Image

HERE = pathlib.Path(__file__).parent / "corpus"


def save(target, name, data):
    folder = HERE / target
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_bytes(data)


def ramp():
    picture = Image.new("RGB", (13, 9))
    picture.putdata([(x * 19, y * 28, (x + y) * 11) for y in range(9) for x in range(13)])
    return picture


def saved(picture, kind, **options):
    buffer = io.BytesIO()
    picture.save(buffer, kind, **options)
    return buffer.getvalue()


def pictures():
    picture = ramp()
    for kind in ("PNG", "JPEG", "BMP", "TIFF", "WEBP", "GIF", "PPM"):
        for mode in ("RGB", "L", "P", "RGBA", "LA", "1", "CMYK", "I;16"):
            try:
                data = saved(picture.convert("L" if mode == "I;16" else mode).convert(mode), kind)
            except (OSError, ValueError):
                continue
            save("image", f"{kind}-{mode.replace(';', '')}".lower(), data)
    for options in ({"progressive": True}, {"quality": 100, "subsampling": 0}, {"exif": b"Exif\0\0MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x06\0\0\0\0\0\0"}):
        save("image", "jpeg-" + "-".join(options), saved(picture, "JPEG", **options))
    still = [picture.rotate(90 * turn) for turn in range(3)]
    for kind in ("GIF", "PNG", "WEBP", "TIFF"):
        save("image", f"{kind}-several".lower(), saved(still[0], kind, save_all=True, append_images=still[1:]))
    save("image", "png-sbit", png_chunk(saved(picture.convert("L").convert("I;16"), "PNG"), b"sBIT", b"\x0c"))


def png_chunk(png, kind, data):
    """The same PNG with a chunk behind its header."""
    body = kind + data
    return png[:33] + struct.pack(">I", len(data)) + body + struct.pack(">I", zlib.crc32(body)) + png[33:]


class Tiff:
    """A TIFF of one directory, written field by field: what libraries refuse to write is read too."""

    def __init__(self, order="<", big=False):
        self.order, self.big, self.fields = order, big, {}

    def short(self, tag, *values):
        self.fields[tag] = (3, struct.pack(f"{self.order}{len(values)}H", *values), len(values))
        return self

    def long(self, tag, *values):
        self.fields[tag] = (4, struct.pack(f"{self.order}{len(values)}I", *values), len(values))
        return self

    def written(self, pixels):
        order, word = self.order, "Q" if self.big else "I"
        start = 16 if self.big else 8
        head = (b"II" if order == "<" else b"MM") + struct.pack(order + ("HHHQ" if self.big else "HI"), *((43, 8, 0, start) if self.big else (42, start)))
        fields = dict(self.fields)
        room = 8 if self.big else 4
        size = (8 if self.big else 2) + len(fields) * (20 if self.big else 12) + room
        at, data, entries = start + size, b"", b""
        for tag in (273, 324):
            if tag in fields:
                fields[tag] = (16 if self.big else 4, None, 1)
        behind = sum(len(value) for _, value, _ in fields.values() if value is not None and len(value) > room)
        for tag, (kind, value, count) in sorted(fields.items()):
            if value is None:
                value = struct.pack(order + word, at + behind)
            if len(value) > room:
                value, data = struct.pack(order + word, at + len(data)), data + value
            entries += struct.pack(f"{order}HH{word}", tag, kind, count) + value.ljust(room, b"\0")
        return head + struct.pack(order + ("Q" if self.big else "H"), len(fields)) + entries + bytes(room) + data + pixels

    def picture(self, bits, photometric, pixels, width=8, height=6, **more):
        self.long(256, width).long(257, height).short(258, *bits).short(259, more.get("packing", 1)).short(262, photometric)
        self.long(273, 0).short(277, len(bits)).long(278, height).long(279, len(pixels)).short(284, more.get("planes", 1))
        for tag, value in more.get("tags", {}).items():
            self.short(tag, *value)
        return self.written(pixels)


def tiffs():
    """Every kind of samples and colours in both byte orders and sizes, and every packing."""
    grey, rgb = bytes(range(48)), bytes(value % 256 for value in range(144))
    kinds = {
        "grey": ([8], 1, grey, {}),
        "white-is-zero": ([8], 0, grey, {}),
        "one-bit": ([1], 1, grey[:6], {}),
        "four-bits": ([4], 1, grey[:24], {}),
        "ten-bits": ([10], 1, grey + grey[:12], {}),
        "twelve-bits": ([12], 1, grey + grey[:24], {}),
        "sixteen-bits": ([16], 1, grey * 2, {}),
        "grey-alpha": ([8] * 2, 1, grey * 2, {"tags": {338: (2,)}}),
        "grey-associated": ([16] * 2, 1, grey * 4, {"tags": {338: (1,)}}),
        "rgb": ([8] * 3, 2, rgb, {}),
        "rgb-sixteen": ([16] * 3, 2, rgb * 2, {}),
        "rgba": ([8] * 4, 2, rgb + grey, {"tags": {338: (2,)}}),
        "rgb-two-more": ([8] * 5, 2, rgb + grey * 2, {"tags": {338: (0, 0)}}),
        "planes": ([8] * 3, 2, rgb, {"planes": 2}),
        "palette": ([8], 3, grey, {"tags": {320: tuple(range(768))}}),
        "palette-four-bits": ([4], 3, grey[:24], {"tags": {320: tuple(range(0, 48000, 1000))}}),
        "cmyk": ([8] * 4, 5, rgb + grey, {"tags": {332: (1,)}}),
        "ycbcr": ([8] * 3, 6, rgb, {"tags": {530: (1, 1)}}),
        "float": ([32], 1, grey * 4, {"tags": {339: (3,)}}),
        "turned": ([8], 1, grey, {"tags": {274: (6,)}}),
        "deflate": ([8], 1, zlib.compress(grey), {"packing": 8}),
        "deflate-differences": ([8], 1, zlib.compress(grey), {"packing": 8, "tags": {317: (2,)}}),
        "packbits": ([8], 1, b"\x2f" + grey, {"packing": 32773}),
    }
    for name, (bits, photometric, pixels, more) in kinds.items():
        for order in "<>":
            for big in (False, True):
                place = f"{name}-{'little' if order == '<' else 'big'}-{64 if big else 32}"
                save("tiff", place, Tiff(order, big).picture(bits, photometric, pixels, **more))
    tiles = Tiff().long(256, 16).long(257, 16).short(258, 8).short(259, 1).short(262, 1).short(277, 1)
    save("tiff", "tiles", tiles.long(322, 16).long(323, 16).long(324, 0).long(325, 256).written(bytes(range(256))))
    for packing in ("tiff_lzw", "tiff_adobe_deflate", "packbits", "jpeg", "group4", "tiff_ccitt"):
        for mode in ("RGB", "L", "P", "RGBA", "1", "CMYK", "YCbCr", "LAB"):
            try:
                save("tiff", f"pillow-{packing}-{mode}".lower(), saved(ramp().convert(mode), "TIFF", compression=packing))
            except (OSError, ValueError):
                continue
    save("tiff", "pillow-pages", saved(ramp(), "TIFF", save_all=True, append_images=[ramp(), ramp()]))


def tiffs_of_tifffile():
    """Tiles, planes, predictors and ImageJ's stacks."""
    import numpy
    import tifffile

    def write(name, pixels, **options):
        buffer = io.BytesIO()
        tifffile.imwrite(buffer, pixels, **options)
        save("tiff", f"tifffile-{name}", buffer.getvalue())

    words = numpy.arange(16 * 16 * 3, dtype=numpy.uint16).reshape(16, 16, 3)
    for big in (False, True):
        size = 64 if big else 32
        write(f"words-{size}", words, bigtiff=big, photometric="rgb")
        write(f"tiles-{size}", words, bigtiff=big, photometric="rgb", tile=(16, 16), compression="zlib", predictor=True)
        write(f"planes-{size}", words.transpose(2, 0, 1), bigtiff=big, photometric="rgb", planarconfig="separate")
        write(f"planes-in-tiles-{size}", words.transpose(2, 0, 1), bigtiff=big, photometric="rgb", planarconfig="separate", tile=(16, 16))
    write("imagej", words[..., 0][None].repeat(3, 0), imagej=True)
    write("float", words[..., 0].astype(numpy.float32))


def masks():
    """A choice of label and rule, where the first mask ends, and one or two masks."""
    defect = Image.new("L", (13, 9))
    defect.paste(255, (3, 2, 8, 6))
    clear = Image.merge("LA", (Image.new("L", (13, 9), 255), defect))
    kinds = {
        "grey": saved(defect, "PNG"),
        "one-bit": saved(defect.convert("1"), "PNG"),
        "palette": saved(defect.convert("P"), "PNG"),
        "palette-clear": saved(defect.convert("P"), "PNG", transparency=0),
        "alpha": saved(clear, "PNG"),
        "colour-alpha": saved(clear.convert("RGBA"), "PNG"),
        "webp": saved(clear.convert("RGBA"), "WEBP", lossless=True),
        "lossy": saved(defect, "JPEG"),
        "tiff": saved(clear.convert("RGBA"), "TIFF"),
        "tiff-one-bit": saved(defect.convert("1"), "TIFF", compression="group4"),
        "bmp": saved(defect, "BMP"),
        "gif": saved(defect, "GIF", transparency=0),
        "pgm": saved(defect, "PPM"),
        "sixteen": saved(defect.convert("I;16"), "PNG"),
        "turned": saved(defect, "PNG", exif=b"Exif\0\0MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x06\0\0\0\0\0\0"),
    }
    for number, (name, mask) in enumerate(kinds.items()):
        save("mask", name, bytes([number % 4, 255]) + mask)
    for name in ("alpha", "palette", "pgm", "tiff"):
        # The shorter behind the longer: where the first ends is told in steps of the whole.
        first, second = kinds[name], kinds["pgm"]
        total = len(first) + len(second)
        cut = next((cut for cut in range(256) if len(first) <= total * cut // 255 <= len(first) + 4), 255)
        gap = total * cut // 255 - len(first)
        save("mask", f"{name}-and-pgm", bytes([0, cut]) + first + bytes(max(gap, 0)) + second)


def mask_names():
    for name, (pattern, images, masks) in {
        "suffix": ("", ["000.png", "001.png"], ["000_mask.png", "001.png"]),
        "prefix": ("mask_STEM", ["000.png"], ["mask_000.png"]),
        "whole": ("NAME_gt", ["000.png"], ["000.png_gt.png"]),
        "pieces": ("STEM_*_seg", ["10.png", "1.png"], ["10_0_seg.png", "10_1_seg.png", "1_0_seg.png"]),
        "tasks": ("", ["000.png"], ["task-7-annotation-3-by-1-tag-scratch-0.png"]),
        "letters": ("", ["ÄÖ.PNG", "ß.png", "İ.png"], ["äö_MASK.png", "SS.png.png", "i̇.png"]),
    }.items():
        save("mask_names", name, "\n".join([pattern, *images, "", *masks]).encode())


def lists():
    record = {"image_path": "a/0.png", "label": 1.0, "class_name": "a", "mask_path": "m/0.png"}
    texts = {
        "jsonl": json.dumps(record) + "\n" + json.dumps(dict(record, label=0, mask_path=None)) + "\n",
        "meta_json": json.dumps({"train": {}, "test": {"a": [{"img_path": "a/0.png", "mask_path": "", "cls_name": "a", "specie_name": "good", "anomaly": 0}]}}),
        "csv": "image,label,mask,class,split,group\na/0.png,anomalous,m/0.png,a,test,p1\n",
        "split_csv": "object,split,label,image,mask\na,test,anomaly,a/0.JPG,m/0.png\n",
        "labels_csv": "id, hemorrhage\n0,1\n1,0\n",
        "descriptor": 'name = "a"\n[[layouts]]\nkind = "folder"\nnormal = ["ok"]\nanomalous = ["bad"]\n[[classes]]\nname = "a"\nnormal = 1\nanomalous = 2\n',
    }
    for target, text in texts.items():
        save(target, "whole", text.encode())


def checkpoints():
    header = json.dumps({"visual.proj": {"dtype": "F32", "shape": [2, 1], "data_offsets": [0, 8]}, "__metadata__": {"format": "pt"}}).encode()
    save("checkpoint", "safetensors", struct.pack("<Q", len(header)) + header + bytes(8))
    save("safetensors", "one", b"\x01" + header)
    many = {f"t{number}": {"dtype": kind, "shape": [8 // size], "data_offsets": [8 * number, 8 * number + 8]} for number, (kind, size) in enumerate({"F64": 8, "F32": 4, "F16": 2, "BF16": 2, "I64": 8, "I32": 4, "I16": 2, "I8": 1, "U8": 1, "BOOL": 1}.items())}
    save("safetensors", "every-type", bytes([len(many)]) + json.dumps(many).encode())
    shapes = small_clip()
    place, listed = 0, {}
    for name, shape in shapes.items():
        end = place + 4 * math.prod(shape)
        listed[name], place = {"dtype": "F32", "shape": shape, "data_offsets": [place, end]}, end
    save("safetensors", "clip", bytes([place // 8]) + json.dumps(listed).encode())
    whole = json.dumps(listed).encode()
    save("checkpoint", "safetensors-clip", struct.pack("<Q", len(whole)) + whole + bytes(place))

    def text(word):
        return b"X" + struct.pack("<I", len(word)) + word.encode()

    def tensor(key, last):
        storage = b"(" + text("storage") + b"ctorch\nFloatStorage\n" + text(key) + text("cpu") + b"K\x06" + last + b"tQ"
        return b"ctorch._utils\n_rebuild_tensor_v2\n(" + storage + b"K\x00K\x03K\x02\x86K\x01K\x03\x86\x89ccollections\nOrderedDict\n)RtR"

    counter = text("steps") + b"ccollections\nCounter\n}K\x05K\x01s\x85R" + text("tags") + b"c__builtin__\nset\n](K\x01e\x85R"
    state = b"\x80\x02}(" + text("state_dict") + b"}" + text("visual.proj") + tensor("0", b"") + b"s" + counter + b"u."
    module = b"\x80\x02c__torch__\nM\n)\x81}" + text("visual") + tensor("0", b"") + b"sb."
    for name, entries in {
        "torch": {"data.pkl": state, "byteorder": b"little", "version": b"3\n"},
        "torchscript": {"data.pkl": module, "constants.pkl": b"\x80\x02).", "version": b"3\n"},
    }.items():
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
            for entry, data in dict(entries, **{"data/0": bytes(24)}).items():
                archive.writestr(zipfile.ZipInfo(f"archive/{entry}"), data)
        save("checkpoint", name, buffer.getvalue())
    save("pickle", "torch", b"\0" + state)
    save("pickle", "torchscript", b"\1" + module)
    magic = b"\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19.\x80\x02M\xe9\x03.\x80\x02}" + text("little_endian") + b"\x88s."
    old = magic + b"\x80\x02}" + text("w") + tensor("94", b"N") + b"s.\x80\x02](" + text("94") + b"e." + struct.pack("<Q", 6) + bytes(24)
    save("checkpoint", "legacy", old)
    save("pickle", "legacy", b"\2" + old[len(magic):])


def small_clip():
    """The shapes of a CLIP whose sizes are one or two, as open_clip names them."""
    shapes = {
        "positional_embedding": [2, 1], "text_projection": [1, 1], "logit_scale": [], "token_embedding.weight": [2, 1],
        "visual.class_embedding": [1], "visual.positional_embedding": [2, 1], "visual.proj": [1, 1], "visual.conv1.weight": [1, 3, 1, 1],
    }
    for norm in ("ln_final", "visual.ln_pre", "visual.ln_post"):
        shapes |= {f"{norm}.weight": [1], f"{norm}.bias": [1]}
    for tower in ("", "visual."):
        block = f"{tower}transformer.resblocks.0"
        for norm in ("ln_1", "ln_2"):
            shapes |= {f"{block}.{norm}.weight": [1], f"{block}.{norm}.bias": [1]}
        shapes |= {f"{block}.attn.in_proj_weight": [3, 1], f"{block}.attn.in_proj_bias": [3], f"{block}.attn.out_proj.weight": [1, 1], f"{block}.attn.out_proj.bias": [1]}
        shapes |= {f"{block}.mlp.c_fc.weight": [4, 1], f"{block}.mlp.c_fc.bias": [4], f"{block}.mlp.c_proj.weight": [1, 4], f"{block}.mlp.c_proj.bias": [1]}
    return shapes


def checkpoints_of_torch():
    """What torch itself writes, of every kind of object that it writes without code of the user."""
    import collections

    import torch

    class Projection(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = torch.nn.Parameter(torch.ones(2, 3))
            self.register_buffer("mean", torch.zeros(3))

        def forward(self, x):
            return x @ self.weight

    whole = torch.arange(12, dtype=torch.float32)
    objects = {
        "state": Projection().state_dict(),
        "nested": {"epoch": 3, "loss": 0.5, "name": "clip", "done": True, "none": None, "state_dict": {"module.visual.proj": torch.ones(2, 1)}},
        "views": {"whole": whole, "part": whole[3:7], "turned": whole.view(3, 4).T, "spread": whole[:1].expand(4), "none": whole[:0], "scalar": whole[0]},
        "types": {str(kind): torch.zeros(2, dtype=kind) for kind in (torch.float64, torch.float16, torch.bfloat16, torch.int64, torch.int32, torch.int16, torch.int8, torch.uint8, torch.bool)},
        "collections": {"ordered": collections.OrderedDict(a=torch.ones(1)), "counter": collections.Counter("aab"), "set": {1, 2}, "list": [1, (2, 3)], "large": 1 << 70},
        "optimiser": torch.optim.Adam([torch.nn.Parameter(torch.ones(2))]).state_dict(),
    }
    for name, thing in objects.items():
        for protocol in (2, 4):
            for is_zip in (True, False):
                buffer = io.BytesIO()
                torch.save(thing, buffer, pickle_protocol=protocol, _use_new_zipfile_serialization=is_zip)
                kind = "zip" if is_zip else "legacy"
                save("checkpoint", f"torch-{kind}-{name}-{protocol}", buffer.getvalue())
                if is_zip:
                    archive = zipfile.ZipFile(io.BytesIO(buffer.getvalue()))
                    pickled = next(entry for entry in archive.namelist() if entry.endswith("data.pkl"))
                    save("pickle", f"torch-{name}-{protocol}", b"\0" + archive.read(pickled))
                else:
                    # Behind magic number, version and notes, which end with the third full stop.
                    data, start = buffer.getvalue(), 0
                    for _ in range(3):
                        start = next(op[2] + 1 for op in pickletools.genops(io.BytesIO(data[start:])) if op[0].name == "STOP") + start
                    save("pickle", f"legacy-{name}-{protocol}", b"\2" + data[start:])
    buffer = io.BytesIO()
    torch.jit.save(torch.jit.script(Projection()), buffer)
    save("checkpoint", "torchscript-module", buffer.getvalue())
    archive = zipfile.ZipFile(io.BytesIO(buffer.getvalue()))
    pickled = next(entry for entry in archive.namelist() if entry.endswith("data.pkl"))
    save("pickle", "torchscript-module", b"\1" + archive.read(pickled))


pictures()
tiffs()
masks()
mask_names()
lists()
checkpoints()
for more, needs in ((tiffs_of_tifffile, ("numpy", "tifffile")), (checkpoints_of_torch, ("torch",))):
    if all(importlib.util.find_spec(need) for need in needs):
        more()
