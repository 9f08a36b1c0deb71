// The part of a voice recorder that is not the network: from a microphone's buffers to pieces, from
// probabilities to segments. The same steps in the same order as in Python. Plain C, so that it runs
// and can be tested anywhere: Swift can call it through a bridging header, Kotlin through JNI.
#ifndef MOBILELAB_SEGMENTS_H
#define MOBILELAB_SEGMENTS_H

#include <stdint.h>

#define ML_PIECE 512

// A piece that is being filled. Begin with filled as 0.
typedef struct {
    float piece[ML_PIECE];
    int filled;
} ml_cutter;

// Takes samples of a buffer until a piece is full or the buffer is empty. What does not fill a piece
// waits for the next buffer.
//   samples  n of them, -32768 to 32767
//   used     written: how many were taken; call again with the others
// Returns 1 if cutter->piece is full now: run the network on it, then call again.
static inline int ml_cut(ml_cutter *cutter, const int16_t *samples, int n, int *used) {
    if (cutter->filled == ML_PIECE) cutter->filled = 0;
    for (*used = 0; *used < n && cutter->filled < ML_PIECE; (*used)++)
        cutter->piece[cutter->filled++] = samples[*used] / 32768.0f;
    return cutter->filled == ML_PIECE;
}

// Thresholds, and what is known so far. Begin with pieces, open and quiet as 0.
typedef struct {
    double start, end;
    int silence;
    int pieces, open, begin, quiet;
} ml_segmenter;

// One piece more. Returns 1 if it ended a segment; then first is its first piece, and last is the
// one behind it.
static inline int ml_push(ml_segmenter *s, float probability, int *first, int *last) {
    int ended = 0;
    if (!s->open) {
        if (probability >= s->start) {
            s->open = 1;
            s->begin = s->pieces;
            s->quiet = 0;
        }
    } else {
        s->quiet = probability >= s->end ? 0 : s->quiet + 1;  // not a number is no speech
        if (s->quiet == s->silence) {
            *first = s->begin;
            *last = s->pieces + 1 - s->silence;
            s->open = 0;
            ended = 1;
        }
    }
    s->pieces++;
    return ended;
}

// The sound is over. Returns 1 if a segment was open.
static inline int ml_finish(ml_segmenter *s, int *first, int *last) {
    if (!s->open) return 0;
    *first = s->begin;
    *last = s->pieces - s->quiet;
    s->open = 0;
    return 1;
}

#endif
