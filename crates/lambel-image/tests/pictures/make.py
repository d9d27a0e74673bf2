"""Draws the pictures of this folder. Needs Python 3 and Pillow; run it in this folder.

All of them show the same: 48 x 40 pixels, red and green above, blue and white below. They are here
because no encoder in Rust that the project uses can write these variants.
"""

import struct
import zlib

from PIL import Image

W, H = 48, 40
CORNERS = [(220, 30, 30), (30, 180, 60), (40, 60, 210), (240, 240, 240)]


def drawn(mode="RGB"):
    picture = Image.new("RGB", (W, H))
    for y in range(H):
        for x in range(W):
            picture.putpixel((x, y), CORNERS[(x >= W // 2) + 2 * (y >= H // 2)])
    return picture.convert(mode)


def chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def interlaced():
    picture, out = drawn(), b""
    for x0, y0, dx, dy in [
        (0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2),
    ]:
        for y in range(y0, H, dy):
            out += b"\0" + b"".join(bytes(picture.getpixel((x, y))) for x in range(x0, W, dx))
    header = struct.pack(">IIBBBBB", W, H, 8, 2, 0, 0, 1)
    with open("interlaced.png", "wb") as file:
        file.write(
            b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(out)) + chunk(b"IEND", b"")
        )


picture = drawn()
for name, sampling in [("444", 0), ("422", 1), ("420", 2)]:
    picture.save(f"baseline-{name}.jpg", quality=92, subsampling=sampling)
    picture.save(f"progressive-{name}.jpg", quality=92, subsampling=sampling, progressive=True)
picture.save("restarts.jpg", quality=92, restart_marker_blocks=2)
drawn("L").save("grey.jpg", quality=92)
drawn("L").save("grey-progressive.jpg", quality=92, progressive=True)
drawn("CMYK").save("cmyk.jpg", quality=95)
drawn("CMYK").save("cmyk-progressive.jpg", quality=95, progressive=True)
picture.quantize(8).save("palette.png")
palette = picture.quantize(8)
palette.save("palette-transparent.png", transparency=palette.getpixel((0, 0)))
drawn("1").save("one-bit.png")
Image.new("I;16", (W, H), 40000).save("grey-16.png")
drawn("LA").save("grey-alpha.png")
interlaced()
seen = drawn("RGBA")
seen.putalpha(Image.linear_gradient("L").resize((W, H)))
picture.save("lossy.webp", quality=90)
seen.save("lossy-alpha.webp", quality=90)
picture.save("lossless.webp", lossless=True)
seen.save("lossless-alpha.webp", lossless=True)
other = picture.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
picture.save("animated.webp", save_all=True, append_images=[other], duration=100)
picture.save("animated.png", save_all=True, append_images=[other], duration=100)
