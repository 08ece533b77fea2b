// Tiles and products of the kernels of attention for the tensor cores of Ampere and later.
//
// A tile in shared memory is rows of C bfloat16, C a multiple of 64, of which chunks of 16
// bytes change places within 128 bytes by row number, so that a matrix of 8 rows of a chunk
// lies in different banks.
//
// A warp has 16 rows of each product's first operand. Its part of an operand or a result is
// made of fragments, as the instruction mma m16n8k16 wants them: lane l holds columns
// 2(l%4), 2(l%4)+1 of rows l/4 and l/4+8.
#pragma once
#include "attention.cuh"
#include "tensor.cuh"

template <int C> DEVICE u8 *chunk_at(u8 *t, int row, int chunk) { return t + row * C * 2 + ((chunk ^ (row & 7)) * 16); }

DEVICE int lane() { return tid() % 32; }
DEVICE int warp() { return tid() / 32; }

// load_tile asks for R rows of an operand; what is beyond its rows or width is zero. The
// block has the given number of threads.
template <int R, int C, int THREADS> DEVICE void load_tile(u8 *to, const bf16 *from, int rows, int stride, int d) {
	UNROLL for (int i = 0; i < R * C / 8 / THREADS; i++) {
		int r = (tid() + i * THREADS) / (C / 8), chunk = (tid() + i * THREADS) % (C / 8);
		bool there = r < rows && chunk * 8 < d;
		copy_async16(shared_address(chunk_at<C>(to, r, chunk)), there ? from + (i64)r * stride + chunk * 8 : from, there);
	}
}

// rows_fragment reads columns 16k to 16k+15 of 16 rows: a first operand.
template <int C> DEVICE void rows_fragment(u32 (&f)[4], u8 *t, int row, int k) {
	ldmatrix(f, shared_address(chunk_at<C>(t, row + lane() % 16, 2 * k + lane() / 16)));
}

template <int M, int N> DEVICE void clear(float (&s)[M][N][4]) {
	UNROLL for (int m = 0; m < M; m++)
		UNROLL for (int n = 0; n < N; n++)
			UNROLL for (int i = 0; i < 4; i++)
				s[m][n][i] = 0;
}

// dots sets s[m][n] to the products of 16 rows of a tile, of which a(f, m, k) reads the
// fragment of columns 16k, and rows 8n to 8n+7 of b.
template <int C, int M, int N, class A> DEVICE void dots(float (&s)[M][N][4], u8 *b, A a) {
	clear(s);
	UNROLL for (int k = 0; k < C / 16; k++) {
		u32 x[M][4], y[4];
		UNROLL for (int m = 0; m < M; m++)
			a(x[m], m, k);
		UNROLL for (int n = 0; n < N; n += 2) {
			ldmatrix(y, shared_address(chunk_at<C>(b, n * 8 + lane() % 8 + lane() / 16 * 8, 2 * k + lane() / 8 % 2)));
			UNROLL for (int m = 0; m < M; m++) {
				mma_bf16(s[m][n], x[m], y[0], y[1]);
				mma_bf16(s[m][n + 1], x[m], y[2], y[3]);
			}
		}
	}
}

// add_rows adds p x to sum: p holds weights as dots made them, for rows 8n of tile x.
template <int C, int M, int N> DEVICE void add_rows(float (&sum)[M][C / 8][4], const float (&p)[M][N][4], u8 *x) {
	UNROLL for (int k = 0; k < N / 2; k++) {
		u32 w[M][4];
		UNROLL for (int m = 0; m < M; m++)
			UNROLL for (int i = 0; i < 4; i++)
				w[m][i] = bf16_pair(p[m][2 * k + i / 2][i % 2 * 2], p[m][2 * k + i / 2][i % 2 * 2 + 1]);
		UNROLL for (int n = 0; n < C / 8; n += 2) {
			u32 y[4];
			ldmatrix_trans(y, shared_address(chunk_at<C>(x, k * 16 + lane() % 16, n + lane() / 16)));
			UNROLL for (int m = 0; m < M; m++) {
				mma_bf16(sum[m][n], w[m], y[0], y[1]);
				mma_bf16(sum[m][n + 1], w[m], y[2], y[3]);
			}
		}
	}
}

// store_rows writes a warp's 16 rows of a result, row i of a lane's two times scale[i], by way
// of tile t in shared memory, of which other warps leave the rows alone.
template <int C>
DEVICE void store_rows(bf16 *to, const float (&sum)[C / 8][4], const float (&scale)[2], u8 *t, int row, int rows,
                       int stride, int d) {
	UNROLL for (int n = 0; n < C / 8; n++)
		UNROLL for (int i = 0; i < 2; i++)
			*(u32 *)(chunk_at<C>(t, row + lane() / 4 + 8 * i, n) + lane() % 4 * 4) =
				bf16_pair(sum[n][2 * i] * scale[i], sum[n][2 * i + 1] * scale[i]);
	sync_warp();
	UNROLL for (int i = 0; i < C / 16; i++) {
		int r = row + (lane() + 32 * i) / (C / 8), chunk = lane() % (C / 8);
		if (r < rows && chunk * 8 < d)
			*(words *)(to + (i64)r * stride + chunk * 8) = *(const words *)chunk_at<C>(t, r, chunk);
	}
}
