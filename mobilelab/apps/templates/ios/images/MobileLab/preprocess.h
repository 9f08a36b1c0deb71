// What happens to raw pixels before the network sees them.
// Plain C, so that it runs and can be tested anywhere; Swift calls it through the bridging header.
#ifndef MOBILELAB_PREPROCESS_H
#define MOBILELAB_PREPROCESS_H

#include "pictures.h"

// Scale, resize, normalise: the same as in Python, in the same order.
//   raw   channels x height x width unsigned bytes
//   mean, std   one for each channel, of the scaled training images
//   out   channels x size x size floats, written
static inline void ml_prepare(const uint8_t *raw, int channels, int height, int width,
                              float max_value, const float *mean, const float *std, int size,
                              float *out) {
    for (int c = 0; c < channels; c++) {
        const uint8_t *plane = raw + (size_t)c * height * width;
        for (int y = 0; y < size; y++) {
            int above, below;
            float down;
            ml_taps(y, height, size, &above, &below, &down);
            for (int x = 0; x < size; x++) {
                int left, right;
                float along;
                ml_taps(x, width, size, &left, &right, &along);
                float top = (1 - along) * (plane[above * width + left] / max_value) +
                            along * (plane[above * width + right] / max_value);
                float bottom = (1 - along) * (plane[below * width + left] / max_value) +
                               along * (plane[below * width + right] / max_value);
                float value = (1 - down) * top + down * bottom;
                out[((size_t)c * size + y) * size + x] = (value - mean[c]) / std[c];
            }
        }
    }
}

// A drawing as a raw image: the share of ink in each block, times the value of full ink.
//   ink   side x side, 0 (paper) to 1 (ink); side is a multiple of height and of width
static inline void ml_ink_to_raw(const float *ink, int side, int height, int width,
                                 float max_value, uint8_t *raw) {
    int tall = side / height, wide = side / width;
    for (int row = 0; row < height; row++)
        for (int column = 0; column < width; column++) {
            float sum = 0;
            for (int y = row * tall; y < (row + 1) * tall; y++)
                for (int x = column * wide; x < (column + 1) * wide; x++) sum += ink[y * side + x];
            raw[row * width + column] =
                (uint8_t)lroundf(sum / (float)(tall * wide) * max_value);
        }
}

// Index of the highest score.
static inline int ml_best(const float *scores, int count) {
    int top = 0;
    for (int i = 1; i < count; i++)
        if (scores[i] > scores[top]) top = i;
    return top;
}

#endif
