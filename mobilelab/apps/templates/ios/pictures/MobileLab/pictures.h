// What every app for pictures needs: bilinear resizing, and the comparison with Python.
// Plain C, so that it runs and can be tested anywhere; Swift calls it through the bridging header.
#ifndef MOBILELAB_PICTURES_H
#define MOBILELAB_PICTURES_H

#include <math.h>
#include <stddef.h>
#include <stdint.h>

// For output pixel i of `to` along one axis: its first source pixel of `from`, the second, and
// the weight of the second. Bilinear, corners not aligned.
static inline void ml_taps(int i, int from, int to, int *first, int *second, float *weight) {
    float place = (i + 0.5f) * ((float)from / (float)to) - 0.5f;
    if (place < 0.0f) place = 0.0f;
    *first = (int)place;
    if (*first > from - 1) *first = from - 1;
    *second = *first + 1 < from ? *first + 1 : from - 1;
    *weight = place - (float)*first;
}

// Interleaved RGBA pixels as planes: all red, then all green, then all blue.
static inline void ml_pixels_to_raw(const uint8_t *rgba, int pixels, uint8_t *raw) {
    for (int c = 0; c < 3; c++)
        for (int i = 0; i < pixels; i++) raw[c * pixels + i] = rgba[4 * i + c];
}

// Largest absolute difference; infinite if a value is not a number.
static inline double ml_largest_difference(const float *expected, const float *got, int count) {
    double largest = 0;
    for (int i = 0; i < count; i++) {
        double difference = fabs((double)expected[i] - (double)got[i]);
        if (!isfinite(difference)) return INFINITY;
        if (difference > largest) largest = difference;
    }
    return largest;
}

// L2 norm of the difference over the L2 norm of what was expected; infinite if not a number.
static inline double ml_relative_error(const float *expected, const float *got, int count) {
    double distance = 0, norm = 0;
    for (int i = 0; i < count; i++) {
        double difference = (double)got[i] - (double)expected[i];
        distance += difference * difference;
        norm += (double)expected[i] * (double)expected[i];
    }
    double error = sqrt(distance) / sqrt(norm);
    return isfinite(error) ? error : INFINITY;
}

#endif
