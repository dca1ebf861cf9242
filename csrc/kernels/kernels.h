/* kernels.h - struct fc_kernels: the micro-kernels of one instruction-set level for one element type.
 *
 * One const table for each level and type, filled in csrc/isa/kernels_*.c and chosen whole in cpu.c. Pointers to
 * elements are void *, strides and offsets count elements. "Blocked" is [block of 16 channels][pixel][16].
 * SPDX-License-Identifier: BSD-3-Clause
 */
#ifndef FC_KERNELS_H
#define FC_KERNELS_H

#include "fastconv.h"

enum {
    FC_BLOCK = 16,      /* channels of one block of the native layout */
    FC_MAX_ROWS = 14,   /* rows of the largest register tile of any level */
    FC_MAX_FEW = 6,     /* rows of the largest planar_grad tile of any level */
    FC_MAX_VECTORS = 2  /* vectors across the widest register tile of any level */
};

/* Arguments of a register tile; see tile_template.h for the sum it computes. */
struct fc_tile {
    const void *a;
    ptrdiff_t a_row;            /* from one row of the tile to the next */
    const ptrdiff_t *offset;    /* of each run, from a */
    ptrdiff_t runs;
    const void *b;              /* read forward, run after run; */
    ptrdiff_t b_skip;           /* so many elements are left out after each run */
    void *c;
    ptrdiff_t c_row, c_block;   /* from row to row; from one block of 16 lanes to the next */
    const void *init;           /* lanes to start from (a bias, zeros), or NULL to continue from c */
    int relu;                   /* plane_tile and copy_tile only: max(0, each sum) */
    ptrdiff_t len, a_step;      /* these two, grad_tile and outer_tile only: steps of a run, stride of a step in a */
    ptrdiff_t b_step;           /* copy_tile only: stride of a step in b ... */
    void *copy;                 /* ... and where b is copied to, [step][lanes of the widest tile] */
    ptrdiff_t b_block;          /* grad_tile and outer_tile only: stride of a block in b */
    const void *ahead;          /* what will be read next: `ahead_step` bytes of it in each step */
    ptrdiff_t ahead_step;
    ptrdiff_t ahead_run;        /* outer_tile only: bytes from what one run fetches to what the next one does */
};

typedef void (*fc_tile_kernel)(const struct fc_tile *);

/* One row of pixels between a strided tensor and the blocked layout. */
struct fc_row {
    void *strided;
    ptrdiff_t channel, pixel;    /* strides of the strided side ... */
    ptrdiff_t leap;              /* ... and from channel 16 i to channel 16 (i + 1) */
    void *blocked;
    ptrdiff_t block;             /* stride of a block on the blocked side; pixels are 16 apart */
    int64_t channels, count;
    int64_t before, after;       /* pack only: pixels of zeros written at either end */
    int relu;                    /* unpack only: max(0, each) */
    ptrdiff_t ahead;             /* from a pixel of the strided side to one that will be needed next, or 0 */
};

/* Weights [lane][depth][tap] and their panels; see weights_template.h. */
struct fc_weights {
    void *source;
    ptrdiff_t lane, depth;       /* strides of the source */
    ptrdiff_t tap[FC_AXES];      /* strides of the taps in the source */
    int64_t taps[FC_AXES];
    int64_t lanes, depths;
    int flat;                    /* depth and tap are one index, depth slowest */
    void *packed;
};

/* Winograd transforms F(m x m, 3 x 3), a = m + 2. All work on one block of `count` tiles side by side. */
struct fc_winograd {
    const void *from;
    void *to;
    ptrdiff_t row;               /* stride of a row of pixels on the spatial side */
    ptrdiff_t element;           /* stride between the a*a transformed elements */
    int64_t count;               /* tiles */
    int64_t lanes;               /* of the block, rounded up to whole vectors */
    int64_t height, width;       /* pixels of the spatial side that exist, from the first tile's corner */
};

/* Outputs of one tile and block of channels, to be computed again where one of them is not finite. */
struct fc_repair {
    const void *x;               /* the input plane of depth 0 */
    ptrdiff_t x_depth, x_block, x_row, x_column;    /* x_block: of 16 depths */
    int64_t row[6], column[6];   /* of the input plane, that the tile's taps meet; -1: zeros */
    const void *w;               /* lane 0, depth 0, tap 0 */
    ptrdiff_t w_lane, w_depth, w_row, w_column;
    int64_t lanes, depths;
    const void *bias;            /* of lane 0 */
    void *y;                     /* [row][column][16] */
    ptrdiff_t y_row;
    int64_t height, width;       /* outputs that exist, at most m each */
};

/* One row of outputs of a depthwise convolution, 16 channels. */
struct fc_depthwise {
    const void *x;
    ptrdiff_t x_step;            /* from the input of one output pixel to that of the next */
    const ptrdiff_t *offset;     /* of each tap, from x */
    int64_t taps, count;
    const void *w;               /* [tap][16] */
    const void *init;            /* 16 lanes, or NULL to continue from y */
    void *y;                     /* [count][16] */
};

/* Rows of pixels of the gradient of a depthwise convolution, 16 channels. */
struct fc_depthwise_grad {
    const void *x, *y;           /* y: [count][16] in each row */
    ptrdiff_t x_step, x_row, y_row;
    const ptrdiff_t *offset;     /* of each tap, from x */
    int64_t taps, rows, count;
    void *sums;                  /* [tap][vector][16]: pixel p of a row goes to p modulo `vector` */
};

/* A row of pixels of a few output channels, from planes; see planar_template.h. */
struct fc_planar {
    const void *x;
    const ptrdiff_t *offset;     /* of each step, from x */
    ptrdiff_t steps;
    const void *w, *init;        /* [step][rows] and [rows] */
    void *y;
    ptrdiff_t y_row;             /* from channel to channel */
    int64_t count;               /* pixels; of x a whole number of vectors is read */
    int relu;                    /* y = max(0, each sum) */
};

/* Lines of pixels that belong to the gradient of a few output channels. */
struct fc_planar_grad {
    const void *x, *y;
    ptrdiff_t x_line, y_row, y_line;
    const ptrdiff_t *offset;     /* of each step, from x */
    ptrdiff_t steps;
    int64_t lines, count;        /* count pixels each */
    void *sums;                  /* [row][step][vector] */
};

/* The same with the output channels in the lanes. */
struct fc_planar_outer {
    const void *x, *y;           /* y: [line][count][16], blocks y_block apart */
    ptrdiff_t x_line, y_block;
    const ptrdiff_t *offset;     /* of each step, from x */
    int64_t lines, count;
    void *sums;                  /* [step][lanes], steps sums_step apart */
    ptrdiff_t sums_step;
};

/* A plane with its padding: lines of `before` zeros, `count` elements `step` apart, `after` zeros, between lines of zeros. */
struct fc_plane {
    const void *from;
    void *to;
    ptrdiff_t step, from_line, pitch;
    int64_t before, count, after;
    int64_t above, lines, below;
};

/* Lines of planes -> lines of a tensor whose pixels are adjacent. */
struct fc_lines {
    const void *from;
    void *to;
    ptrdiff_t from_channel, from_line, to_channel, to_line;
    int64_t channels, lines, count;    /* whole vectors of `from` are read */
};

/* Taps of a window that are the same distance apart. */
struct fc_run {
    ptrdiff_t offset;            /* of the first one, from x */
    int64_t taps;
    int64_t index;               /* of the first one; modulo 2^32 in float32 lanes */
};

/* One row of results of a pooling; the channels of a pixel are adjacent. */
struct fc_pool_row {
    const void *x;
    ptrdiff_t x_step, x_tap;     /* from the window of one result to the next; from tap to tap of a run */
    const struct fc_run *run;    /* in row-major order */
    int64_t runs, index_tap;     /* index_tap: how much the index grows from tap to tap */
    int64_t count, lanes;        /* results; channels, rounded up to whole vectors */
    int continues;               /* y and index hold the results of the runs before */
    void *y;
    ptrdiff_t y_step;
    void *index;                 /* [count][lanes] integers of the element's size: the index of each maximum */
};

/* Pixels `step` elements apart. */
struct fc_pixels {
    char *data;
    ptrdiff_t step;
};

/* Indices as pool_max_index leaves them -> positions `first` + p*step + index of a tensor. */
struct fc_positions {
    const void *index;
    ptrdiff_t lanes;             /* between pixels of `index` */
    int64_t *to;
    ptrdiff_t channel, pixel;    /* strides of `to` */
    int64_t channels, count;
    int64_t first, step;
};

/* Indices as pool_max_index leaves them, below 256 -> bytes. */
struct fc_codes {
    const void *index;
    ptrdiff_t lanes;
    uint8_t *to;
    ptrdiff_t channel, pixel;
    int64_t channels, count;
};

/* x[channel][position] += y[channel][pixel] for a row of pixels in order. */
struct fc_scatter {
    void *x;
    ptrdiff_t x_channel, x_space[FC_AXES];
    int64_t height, width;       /* of x */
    const void *y;
    ptrdiff_t y_channel, y_pixel;
    const int64_t *position;
    ptrdiff_t position_channel, position_pixel;
    int64_t channels, count;
};

/* Pixels of planes -> panels [panel][depth][lanes of the widest tile]: `count` of them, to be number `first` .. of the panels. */
struct fc_panels {
    const void *from;
    ptrdiff_t depth, pixel;      /* strides */
    int64_t depths, first, count;
    void *panels;
    ptrdiff_t panel;             /* stride of a panel */
};

/* One row of pixels of a batch normalisation; see norm_template.h. */
struct fc_norm_row {
    const void *x, *grad;
    void *to;
    ptrdiff_t x_step, grad_step, to_step;    /* lanes: from pixel to pixel; planes: from channel to channel */
    int64_t first, count;        /* pixels; first counts from the start of the image */
    int64_t channels;            /* planes only: at most 16 */
    int relu, whole;
    const void *coefficients;    /* [6][coefficient], of the first channel */
    ptrdiff_t coefficient;
    const double *center;
    double *sums;                /* 2 * 16 * `wide` of them, added to */
};

/* Planes with adjacent columns, and windows of up to three rows and two or three columns; see planes_template.h. */
struct fc_planes {
    void *x, *y;                 /* input and output, or their gradients */
    ptrdiff_t x_plane, x_row, y_plane, y_row;
    int64_t planes, height, width;    /* of x */
    int64_t rows, columns;       /* of y */
    int64_t first, end;          /* rows to compute: of y forward, of x backward */
    int64_t kernel[2], stride[2], pad[2];
    double factor, divisor;      /* a sum is multiplied by factor, or divided by divisor, or, both being 0, divided by ... */
    const void *row_taps, *column_taps;    /* ... row_taps[row of y] * column_taps[column of y], readable to a whole vector */
    uint8_t *code;               /* of each maximum, row * kernel[1] + column of its tap, or NULL; backward they are read */
    int64_t *position;           /* of each maximum in its plane, or NULL; forward only */
    ptrdiff_t index_plane, index_row;    /* strides of codes or positions */
    const uint8_t *code_first, *code_end;    /* backward: codes may be read from .. to */
    int64_t weight;              /* forward with codes: kernel[1]; with positions: width */
    void *scratch;               /* FC_PLANES_SCRATCH elements */
};
enum { FC_PLANES_RING = 4 };     /* rows of y that wait for rows of x, at most */

/* Elements: backward the ring, as many rows of numbers of windows, and one more row, as wide as x with its padding and
 * `kernel` and some vectors more; and the shares of a small plane. */
#define FC_PLANES_SCRATCH(width, columns, kernel) ((2 * FC_PLANES_RING + 1) * ((width) + 2 * (kernel) + (columns) + 128) + 256)

/* Depthwise convolution of planes with 3 x 3 windows, stride 1 or 2; see depth_planes_template.h. Of `at` the geometry counts,
 * and a row of zeros as wide as x in scratch. */
struct fc_depth_planes {
    struct fc_planes at;
    const void *w;
    ptrdiff_t w_plane, w_row, w_column;
    const void *init;            /* a value for each plane, or NULL */
    int relu;                    /* forward: max(0, each sum) */
    void *sums;                  /* backward-weights: [plane][tap][vector] */
};

/* Backward of maxima where channels are adjacent: one row of dx from the rows of dy and codes whose windows meet it. */
struct fc_spread {
    void *x;
    ptrdiff_t x_pixel;
    int64_t row, width;          /* of x */
    const void *y;               /* of row 0 of dy */
    ptrdiff_t y_row, y_pixel;
    const uint8_t *code;
    ptrdiff_t code_row, code_pixel;
    int64_t rows, columns;       /* of dy */
    int64_t kernel[2], stride[2], pad[2];
    int64_t lanes;               /* channels, whole vectors */
};

struct fc_kernels {
    const char *isa;
    fc_dtype dtype;
    int lanes;                   /* of the widest register tile; divides 16 or is a multiple of it */
    int vector;                  /* lanes of one vector: the narrowest tile */
    int wide;                    /* doubles of one vector */
    int tile_rows, grad_rows;    /* largest tile of each kind; grad_rows divides 16 */

    fc_tile_kernel tile[FC_MAX_VECTORS][FC_MAX_ROWS];         /* [vectors - 1][rows - 1]: runs of 16 steps */
    fc_tile_kernel tap_tile[FC_MAX_VECTORS][FC_MAX_ROWS];     /* the same: runs of 1 step */
    fc_tile_kernel plane_tile[FC_MAX_VECTORS][FC_MAX_ROWS];   /* one run of len steps; init holds one value for each row */
    fc_tile_kernel copy_tile[FC_MAX_ROWS];                    /* [rows - 1]: plane_tile, FC_MAX_VECTORS wide, of pixels that are not a panel yet */
    fc_tile_kernel grad_tile[FC_MAX_VECTORS];                 /* [vectors - 1]: grad_rows rows, runs of len steps */
    fc_tile_kernel outer_tile[FC_MAX_VECTORS][FC_MAX_ROWS];   /* [vectors - 1][rows - 1]: the same, a_row apart, steps adjacent */

    void (*pack_panels)(const struct fc_panels *);
    void (*pack_row)(const struct fc_row *);                  /* strided -> blocked, missing channels zeroed */
    void (*unpack_row)(const struct fc_row *);                /* blocked -> strided */
    void (*pack_weights)(const struct fc_weights *, int64_t panel);
    void (*unpack_weights)(const struct fc_weights *, int64_t panel);
    void (*copy_line)(void *to, const void *from, ptrdiff_t step, int64_t count);    /* from[i*step] -> to[i] */
    void (*add)(void *y, const void *x, int64_t n);           /* y += x; n a multiple of 16 */
    void (*sum_row)(const void *x, int64_t count, void *sums);    /* sums[16] += sum over count pixels of x[][16] */

    struct {
        void (*input)(const struct fc_winograd *);            /* B^T d B: pixels -> elements */
        int (*output)(const struct fc_winograd *, const void *bias);    /* A^T m A + bias; 0 if any is not finite */
        void (*gradient)(const struct fc_winograd *);         /* A d A^T: pixels of dy -> elements */
        void (*weights)(const void *w, ptrdiff_t tap, void *u, ptrdiff_t element, int64_t lanes);         /* G g G^T */
        void (*weights_back)(const void *u, ptrdiff_t element, void *w, ptrdiff_t tap, int64_t lanes);    /* G^T u G */
    } winograd[2];                                            /* m = 2, m = 4 */
    void (*repair)(const struct fc_repair *, int m);
    int (*finite)(const void *x, int64_t n);                  /* whether all of n elements are; n a multiple of 16 */

    void (*depthwise)(const struct fc_depthwise *);
    void (*depthwise_grad)(const struct fc_depthwise_grad *);
    struct {                                                  /* NULL where FC_SPECIAL is 0 */
        void (*forward)(const struct fc_depth_planes *);      /* and backward-data with stride 1 */
        void (*grad)(const struct fc_depth_planes *);
        void (*spread)(const struct fc_depth_planes *);       /* backward-data with stride 2; x is dy, y is dx */
    } depth_planes;

    int few_rows, few_vectors;   /* largest tile of planar_grad: rows, and steps at once */
    void (*planar[FC_MAX_ROWS])(const struct fc_planar *);              /* [rows - 1] */
    void (*planar_grad[FC_MAX_FEW])(const struct fc_planar_grad *);     /* [rows - 1] */
    void (*planar_outer[FC_MAX_VECTORS][FC_MAX_ROWS])(const struct fc_planar_outer *);    /* [vectors - 1][steps - 1] */
    void (*planar_fold)(const void *sums, int64_t count, void *to);     /* to[i] = sum of the lanes of vector i */
    void (*planar_plane)(const struct fc_plane *);                      /* may write a vector beyond the last line */
    void (*planar_copy)(const struct fc_lines *);
    struct {
        void (*max)(const struct fc_pool_row *);              /* see pool_template.h for what wins */
        void (*max_index)(const struct fc_pool_row *);
        void (*sum)(const struct fc_pool_row *);
        void (*divide)(const struct fc_pixels *from, const struct fc_pixels *to, int64_t count, int64_t lanes, double divisor);
        void (*total)(const struct fc_pool_row *);            /* the sum of a plane; see sums_template.h */
        void (*positions)(const struct fc_positions *);
        void (*codes)(const struct fc_codes *);
        void (*spread)(const struct fc_spread *);
        struct {
            /* max, average and spread are several 10 KiB each: NULL where FC_SPECIAL is 0, as plane_tile, copy_tile and outer_tile are */
            void (*max)(const struct fc_planes *);
            void (*average)(const struct fc_planes *);
            void (*narrow)(const struct fc_planes *);         /* averages of any windows, x narrower than a vector */
            void (*spread)(const struct fc_planes *);         /* backward, of maxima if there are codes, else of averages */
            void (*expand)(const struct fc_planes *);         /* of averages of any windows of which few meet anywhere */
            void (*total)(const struct fc_planes *);          /* of whole planes, height 1 */
            void (*fill)(const struct fc_planes *);           /* its backward */
            void (*stream)(void *to, const void *from, int64_t count);    /* copies past the caches */
        } planes;
        uint64_t (*largest)(const int64_t *position, ptrdiff_t step, int64_t count);    /* as unsigned numbers */
        void (*scatter)(const struct fc_scatter *);
    } pool;
    void (*sgd)(const fc_update *);
    void (*adam)(const fc_update *);
    void (*rmsprop)(const fc_update *);
    void (*adagrad)(const fc_update *);
    void (*act)(fc_act, void *to, const void *a, const void *b, double p, double q, int64_t n);
    struct {
        void (*moments)(const struct fc_norm_row *);          /* sums of x - center and its square */
        void (*products)(const struct fc_norm_row *);         /* sums of grad and grad * (x - center) */
        void (*output)(const struct fc_norm_row *);
        void (*gradient)(const struct fc_norm_row *);
    } norm[2];                                                /* lanes, planes */
    double (*peak)(int64_t rounds);                           /* runs the register tile; returns its operations */
};

extern const struct fc_kernels *const fc_kernels_portable[2], *const fc_kernels_avx2[2], *const fc_kernels_avx512[1];    /* by fc_dtype */

/* The table of the active level (cpu.c). */
const struct fc_kernels *fc_kernels_active(fc_dtype dtype);

static inline size_t fc_sizeof(fc_dtype dtype) { return dtype == FC_F32 ? sizeof(float) : sizeof(double); }

#endif
