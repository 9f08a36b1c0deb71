"""Right and wrong solutions to the exercises of lab 01."""

import io

import torch
from PIL import Image, ImageOps
from torchvision.transforms import functional as tv


def right_place(height, width, size, crop):
    other = int(size * max(height, width) / min(height, width))
    tall, wide = (size, other) if height <= width else (other, size)
    return tall, wide, round((tall - crop) / 2), round((wide - crop) / 2)


def right_place_2(height, width, size, crop):  # torchvision itself, on rows that count themselves
    rows = torch.arange(height).view(1, -1, 1).expand(1, height, width).float()
    small = tv.resize(rows, [size], antialias=False)
    tall, wide = small.shape[1:]
    ranks = torch.arange(tall * wide, dtype=torch.float32).view(1, tall, wide)
    first = int(tv.center_crop(ranks, [crop])[0, 0, 0])
    return tall, wide, first // wide, first % wide


def wrong_place_1(height, width, size, crop):  # both sides become size
    return size, size, round((size - crop) / 2), round((size - crop) / 2)


def wrong_place_2(height, width, size, crop):  # the height always becomes size
    wide = int(size * width / height)
    return size, wide, round((size - crop) / 2), round((wide - crop) / 2)


def wrong_place_3(height, width, size, crop):  # the longer side becomes size
    other = int(size * min(height, width) / max(height, width))
    tall, wide = (other, size) if height <= width else (size, other)
    return tall, wide, round((tall - crop) / 2), round((wide - crop) / 2)


def wrong_place_4(height, width, size, crop):  # a half is rounded down
    tall, wide, *_ = right_place(height, width, size, crop)
    return tall, wide, (tall - crop) // 2, (wide - crop) // 2


def wrong_place_5(height, width, size, crop):  # a half is rounded up
    tall, wide, *_ = right_place(height, width, size, crop)
    return tall, wide, (tall - crop + 1) // 2, (wide - crop + 1) // 2


def wrong_place_6(height, width, size, crop):  # rounded, not cut off
    other = round(size * max(height, width) / min(height, width))
    tall, wide = (size, other) if height <= width else (other, size)
    return tall, wide, round((tall - crop) / 2), round((wide - crop) / 2)


def wrong_place_7(height, width, size, crop):  # always 256 and 224
    return right_place(height, width, 256, 224)


def wrong_place_8(height, width, size, crop):  # column before row
    tall, wide, top, left = right_place(height, width, size, crop)
    return tall, wide, left, top


def wrong_place_9(height, width, size, crop):  # nothing is made larger
    if min(height, width) < size:
        return height, width, round((height - crop) / 2), round((width - crop) / 2)
    return right_place(height, width, size, crop)


TURNS = {
    1: lambda x: x,
    2: lambda x: x.flip(2),
    3: lambda x: x.rot90(2, (1, 2)),
    4: lambda x: x.flip(1),
    5: lambda x: x.transpose(1, 2),
    6: lambda x: x.rot90(-1, (1, 2)),
    7: lambda x: x.transpose(1, 2).rot90(2, (1, 2)),
    8: lambda x: x.rot90(1, (1, 2)),
}


def right_upright(pixels, orientation):
    return TURNS[orientation](pixels)


def right_upright_2(pixels, orientation):  # as Pillow does it
    note, stored = Image.Exif(), io.BytesIO()
    note[0x0112] = orientation
    Image.fromarray(pixels.permute(1, 2, 0).numpy()).save(stored, format="png", exif=note)
    turned = ImageOps.exif_transpose(Image.open(stored))
    return tv.pil_to_tensor(turned)


def wrong_upright_1(pixels, orientation):  # the note is ignored
    return pixels


def wrong_upright_2(pixels, orientation):  # the other way round
    return TURNS[{6: 8, 8: 6}.get(orientation, orientation)](pixels)


def wrong_upright_3(pixels, orientation):  # only the four that a camera held in a hand writes
    return TURNS[orientation](pixels) if orientation in (1, 3, 6, 8) else pixels


def wrong_upright_4(pixels, orientation):  # mirrored the other way
    return TURNS[{2: 4, 4: 2}.get(orientation, orientation)](pixels)


def wrong_upright_5(pixels, orientation):  # 5 and 7 exchanged
    return TURNS[{5: 7, 7: 5}.get(orientation, orientation)](pixels)


def wrong_upright_6(pixels, orientation):  # turned inside of the rows of colours
    return TURNS[orientation](pixels.permute(1, 2, 0)).permute(2, 0, 1)


def wrong_upright_7(pixels, orientation):  # the right numbers in the wrong shape
    return right_upright(pixels, orientation).reshape(pixels.shape)
