// The part of the app that is not the network: from pixels to its input, from its outputs to boxes.
// The same steps in the same order as in Python. Plain C, so that it runs and can be tested
// anywhere; Swift calls it through the bridging header.
#ifndef MOBILELAB_DETECT_H
#define MOBILELAB_DETECT_H

#include <stdlib.h>

#include "pictures.h"

// Where a photograph lies in the square, in pixels of the square.
typedef struct {
    int top, left, height, width;
} ml_place;

// Corners in pixels, a score from 0 to 1, and the number of the class.
typedef struct {
    float x0, y0, x1, y1, score;
    int label;
} ml_box;

static inline int ml_larger(int a, int b) { return a > b ? a : b; }

// Whole numbers only; a half is rounded up.
static inline ml_place ml_letterbox_place(int size, int height, int width) {
    int longest = ml_larger(height, width);
    ml_place place;
    place.height = ml_larger(1, (2 * height * size + longest) / (2 * longest));
    place.width = ml_larger(1, (2 * width * size + longest) / (2 * longest));
    place.top = (size - place.height) / 2;
    place.left = (size - place.width) / 2;
    return place;
}

// A photograph in the square that the network takes: made smaller without stretching, the rest
// filled with grey.
//   raw    3 x height x width unsigned bytes
//   fill   raw value of the pixels around the photograph
//   out    3 x size x size floats, written
static inline void ml_letterbox(const uint8_t *raw, int height, int width, int size, float fill,
                                float max_value, const float *mean, const float *std, float *out) {
    ml_place place = ml_letterbox_place(size, height, width);
    for (int c = 0; c < 3; c++) {
        const uint8_t *plane = raw + (size_t)c * height * width;
        float *square = out + (size_t)c * size * size;
        float grey = (fill / max_value - mean[c]) / std[c];
        for (int i = 0; i < size * size; i++) square[i] = grey;
        for (int y = 0; y < place.height; y++) {
            int above, below;
            float down;
            ml_taps(y, height, place.height, &above, &below, &down);
            for (int x = 0; x < place.width; x++) {
                int left, right;
                float along;
                ml_taps(x, width, place.width, &left, &right, &along);
                float top = (1 - along) * (plane[above * width + left] / max_value) +
                            along * (plane[above * width + right] / max_value);
                float bottom = (1 - along) * (plane[below * width + left] / max_value) +
                               along * (plane[below * width + right] / max_value);
                float value = (1 - down) * top + down * bottom;
                square[(place.top + y) * size + place.left + x] = (value - mean[c]) / std[c];
            }
        }
    }
}

static inline float ml_between(float value, float low, float high) {
    return value < low ? low : value > high ? high : value;
}

// A box in the square, back on the photograph, cut off at its edges.
static inline ml_box ml_letterbox_back(ml_box box, int size, int height, int width) {
    ml_place place = ml_letterbox_place(size, height, width);
    float across = (float)width / (float)place.width;
    float along = (float)height / (float)place.height;
    box.x0 = ml_between((box.x0 - place.left) * across, 0, (float)width);
    box.x1 = ml_between((box.x1 - place.left) * across, 0, (float)width);
    box.y0 = ml_between((box.y0 - place.top) * along, 0, (float)height);
    box.y1 = ml_between((box.y1 - place.top) * along, 0, (float)height);
    return box;
}

// Boxes of all cells: x0, y0, x1, y1 in pixels of the square, one box after the other.
//   raw     4 x grid x grid: e to its power are distances from a cell's centre, in strides
//   boxes   grid x grid x 4, written
static inline void ml_decode(const float *raw, int grid, int stride, float *boxes) {
    int cells = grid * grid;
    for (int cell = 0; cell < cells; cell++) {
        float x = ((float)(cell % grid) + 0.5f) * (float)stride;
        float y = ((float)(cell / grid) + 0.5f) * (float)stride;
        boxes[4 * cell] = x - expf(raw[cell]) * (float)stride;
        boxes[4 * cell + 1] = y - expf(raw[cells + cell]) * (float)stride;
        boxes[4 * cell + 2] = x + expf(raw[2 * cells + cell]) * (float)stride;
        boxes[4 * cell + 3] = y + expf(raw[3 * cells + cell]) * (float)stride;
    }
}

typedef struct {
    float score;
    int number;
} ml_ranked;

// The higher score first; of equal ones, the lower number.
static inline int ml_by_score(const void *left, const void *right) {
    const ml_ranked *a = (const ml_ranked *)left, *b = (const ml_ranked *)right;
    if (a->score != b->score) return a->score < b->score ? 1 : -1;
    return a->number - b->number;
}

// Numbers of the boxes that stay, best first.
//   boxes   x0, y0, x1, y1, one box after the other
//   iou     a box is dropped if it overlaps a better one by more than this
//   kept    room for `count` numbers, written; the result says how many there are
static inline int ml_nms(const float *boxes, const float *scores, int count, double iou, int *kept) {
    ml_ranked *order = (ml_ranked *)malloc(sizeof(ml_ranked) * (size_t)(count + 1));
    char *dropped = (char *)calloc((size_t)(count + 1), 1);
    int found = 0;
    for (int i = 0; i < count; i++) {
        order[i].score = scores[i];
        order[i].number = i;
    }
    qsort(order, (size_t)count, sizeof(ml_ranked), ml_by_score);
    for (int place = 0; place < count; place++) {
        int i = order[place].number;
        if (dropped[i]) continue;
        kept[found++] = i;
        const float *a = boxes + 4 * i;
        float area = (a[2] - a[0]) * (a[3] - a[1]);
        for (int j = 0; j < count; j++) {
            const float *b = boxes + 4 * j;
            float wide = (a[2] < b[2] ? a[2] : b[2]) - (a[0] > b[0] ? a[0] : b[0]);
            float tall = (a[3] < b[3] ? a[3] : b[3]) - (a[1] > b[1] ? a[1] : b[1]);
            float shared = (wide > 0 ? wide : 0) * (tall > 0 ? tall : 0);
            float other = (b[2] - b[0]) * (b[3] - b[1]);
            if ((double)(shared / (area + other - shared)) > iou) dropped[j] = 1;
        }
    }
    free(order);
    free(dropped);
    return found;
}

// From the network's outputs to boxes: decode, drop what scores low, suppress class by class.
//   scores   logits, classes x grid x grid
//   raw      see ml_decode
//   least    boxes with a lower score are dropped
//   out      room for `most` boxes, written, best first; the result says how many there are.
//            Of equal scores, the lower class and cell come first.
static inline int ml_choose(const float *scores, const float *raw, int classes, int grid, int stride,
                            float least, double iou, int most, ml_box *out) {
    int cells = grid * grid, total = 0;
    size_t room = (size_t)cells * (size_t)classes + 1;
    float *boxes = (float *)malloc(sizeof(float) * 4 * (size_t)cells);
    float *corners = (float *)malloc(sizeof(float) * 4 * (size_t)cells);
    float *likely = (float *)malloc(sizeof(float) * (size_t)cells);
    int *above = (int *)malloc(sizeof(int) * (size_t)cells);
    int *kept = (int *)malloc(sizeof(int) * (size_t)cells);
    ml_ranked *found = (ml_ranked *)malloc(sizeof(ml_ranked) * room);
    ml_decode(raw, grid, stride, boxes);
    for (int label = 0; label < classes; label++) {
        int count = 0;
        for (int cell = 0; cell < cells; cell++) {
            float score = 1 / (1 + expf(-scores[label * cells + cell]));
            if (score < least) continue;
            for (int k = 0; k < 4; k++) corners[4 * count + k] = boxes[4 * cell + k];
            likely[count] = score;
            above[count++] = cell;
        }
        int stay = ml_nms(corners, likely, count, iou, kept);
        for (int i = 0; i < stay; i++) {
            found[total].score = likely[kept[i]];
            found[total++].number = label * cells + above[kept[i]];
        }
    }
    qsort(found, (size_t)total, sizeof(ml_ranked), ml_by_score);
    if (total > most) total = most;
    for (int i = 0; i < total; i++) {
        const float *box = boxes + 4 * (found[i].number % cells);
        out[i].x0 = box[0];
        out[i].y0 = box[1];
        out[i].x1 = box[2];
        out[i].y1 = box[3];
        out[i].score = found[i].score;
        out[i].label = found[i].number / cells;
    }
    free(boxes);
    free(corners);
    free(likely);
    free(above);
    free(kept);
    free(found);
    return total;
}

#endif
