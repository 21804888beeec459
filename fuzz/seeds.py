"""Writes small valid inputs to start the fuzz targets from: python3 fuzz/seeds.py (needs Pillow)."""
import io
import json
import pathlib
import struct
import zipfile

from PIL import Image

HERE = pathlib.Path(__file__).parent / "corpus"


def save(target, name, data):
    folder = HERE / target
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_bytes(data)


def pictures():
    ramp = Image.new("RGB", (13, 9))
    ramp.putdata([(x * 19, y * 28, (x + y) * 11) for y in range(9) for x in range(13)])
    for kind in ("PNG", "JPEG", "BMP", "TIFF", "WEBP"):
        for mode in ("RGB", "L", "P", "RGBA", "LA", "1", "CMYK", "I;16"):
            buffer = io.BytesIO()
            try:
                ramp.convert("L" if mode == "I;16" else mode).convert(mode).save(buffer, kind)
            except (OSError, ValueError):
                continue
            save("image", f"{kind}-{mode.replace(';', '')}".lower(), buffer.getvalue())
    for options in ({"progressive": True}, {"quality": 100, "subsampling": 0}, {"exif": b"Exif\0\0MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x06\0\0\0\0\0\0"}):
        buffer = io.BytesIO()
        ramp.save(buffer, "JPEG", **options)
        save("image", "jpeg-" + "-".join(options), buffer.getvalue())


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
    magic = b"\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19.\x80\x02M\xe9\x03.\x80\x02}" + text("little_endian") + b"\x88s."
    old = magic + b"\x80\x02}" + text("w") + tensor("94", b"N") + b"s.\x80\x02](" + text("94") + b"e." + struct.pack("<Q", 6) + bytes(24)
    save("checkpoint", "legacy", old)


pictures()
lists()
checkpoints()
