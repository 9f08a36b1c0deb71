"""Right and wrong solutions to the exercises of lab 04."""

import torch
import torch.nn.functional as F


def right_resized(places, grid):
    first, rest = places[:, :1], places[:, 1:]
    side = int(rest.shape[1] ** 0.5)
    picture = rest.transpose(1, 2).reshape(1, -1, side, side)
    picture = F.interpolate(picture, (grid, grid), mode="bilinear")
    return torch.cat([first, picture.flatten(2).transpose(1, 2)], 1)


def wrong_resized_1(places, grid):  # along the row of tokens, as if it were a line
    rest = places[:, 1:].transpose(1, 2)
    line = F.interpolate(rest, grid * grid, mode="linear")
    return torch.cat([places[:, :1], line.transpose(1, 2)], 1)


def wrong_resized_2(places, grid):  # reshaped without turning first
    side = int((places.shape[1] - 1) ** 0.5)
    picture = places[:, 1:].reshape(1, -1, side, side)
    picture = F.interpolate(picture, (grid, grid), mode="bilinear")
    return torch.cat([places[:, :1], picture.reshape(1, grid * grid, -1)], 1)


def wrong_resized_3(places, grid):  # the class token at the end
    new = right_resized(places, grid)
    return torch.cat([new[:, 1:], new[:, :1]], 1)


def wrong_resized_4(places, grid):  # the class token is forgotten
    return right_resized(places, grid)[:, 1:]


def wrong_resized_5(places, grid):  # always from 8 by 8
    picture = places[:, 1:].transpose(1, 2).reshape(1, -1, 8, 8)
    picture = F.interpolate(picture, (grid, grid), mode="bilinear")
    return torch.cat([places[:, :1], picture.flatten(2).transpose(1, 2)], 1)


def wrong_resized_6(places, grid):  # corners aligned
    side = int((places.shape[1] - 1) ** 0.5)
    picture = places[:, 1:].transpose(1, 2).reshape(1, -1, side, side)
    picture = F.interpolate(picture, (grid, grid), mode="bilinear", align_corners=True)
    return torch.cat([places[:, :1], picture.flatten(2).transpose(1, 2)], 1)


def wrong_resized_7(places, grid):  # columns first
    side = int((places.shape[1] - 1) ** 0.5)
    picture = places[:, 1:].transpose(1, 2).reshape(1, -1, side, side)
    picture = F.interpolate(picture, (grid, grid), mode="bilinear").transpose(2, 3)
    return torch.cat([places[:, :1], picture.flatten(2).transpose(1, 2)], 1)


def right_products(size, patch, width, depth, classes):
    tokens = (size // patch) ** 2 + 1
    blocks = depth * (8 * tokens * width * width + 2 * tokens * tokens * width)
    return blocks + (tokens - 1) * patch * patch * width + width * classes


def wrong_products_1(size, patch, width, depth, classes):  # no class token
    n = (size // patch) ** 2
    return depth * (8 * n * width**2 + 2 * n * n * width) + size**2 * width + width * classes


def wrong_products_2(size, patch, width, depth, classes):  # the pairs are multiplied once only
    n = (size // patch) ** 2 + 1
    return right_products(size, patch, width, depth, classes) - depth * n * n * width


def wrong_products_3(size, patch, width, depth, classes):  # one block
    return right_products(size, patch, width, 1, classes)


def wrong_products_4(size, patch, width, depth, classes):  # the head for every token
    n = (size // patch) ** 2 + 1
    return right_products(size, patch, width, depth, classes) + (n - 1) * width * classes


def wrong_products_5(size, patch, width, depth, classes):  # what the counter finds: no attention
    n = (size // patch) ** 2 + 1
    return right_products(size, patch, width, depth, classes) - depth * 2 * n * n * width


def wrong_products_7(size, patch, width, depth, classes):  # the edge is in no patch
    n = (size // patch) ** 2
    return right_products(size, patch, width, depth, classes) + (size**2 - n * patch**2) * width


def wrong_products_6(size, patch, width, depth, classes):  # the head has always ten classes
    return right_products(size, patch, width, depth, 10)
