import { closeSync, fstatSync, openSync, readSync } from 'node:fs';
import { Decompress } from 'fzstd';
import { errnoOf, internal } from '../../domain/errors.ts';

/*
 * Codex compresses rollouts that nobody has touched for a week: `….jsonl.zst` takes the place of `….jsonl`. Everywhere
 * in Skein a rollout goes by its plain path and its plain byte offsets, whichever of the two files is there; if both
 * are, the plain one counts.
 */

const SUFFIX = '.zst';

/** Where the compressed form of a rollout lies. */
export const compressedPath = (path: string): string => path + SUFFIX;

/** The plain path of a rollout, given either of its two. */
export const plainPath = (path: string): string =>
  path.endsWith(`.jsonl${SUFFIX}`) ? path.slice(0, -SUFFIX.length) : path;

/**
 * How often a file is looked for that others compress and restore meanwhile. Each turn of theirs makes one look fail
 * at most, and takes them far longer than a look.
 */
export const LOOKS = 3;

const CHUNK_BYTES = 256 * 1024;
const COMPRESSED_CHUNK_BYTES = 64 * 1024;

/** The decoder hands out all that a piece of input holds at once; 1 KiB of it stands for 32 MiB at the very most. */
const PIECE_BYTES = 1024;

/**
 * The bytes of a rollout from an offset, plain or compressed, up to `end` or the end that the file has now. Pieces are
 * valid until the next one is asked for. Holds a few megabytes, however large the file. Synchronous: for worker threads.
 *
 * @throws the system's errors, ENOENT if there is neither file; internal for compressed data that are damaged
 */
export function* rolloutBytes(
  path: string,
  start = 0,
  end = Number.POSITIVE_INFINITY,
  chunkBytes = CHUNK_BYTES,
): Generator<Buffer, void> {
  const { fd, isCompressed } = openEither(path);
  try {
    yield* isCompressed ? fromCompressed(fd, compressedPath(path), start, end) : fromPlain(fd, start, end, chunkBytes);
  } finally {
    closeSync(fd);
  }
}

/** The bytes of a compressed rollout, from its beginning, whether a plain file is there or not. Otherwise as {@link rolloutBytes}. */
export function* compressedBytes(path: string): Generator<Buffer, void> {
  const fd = openSync(compressedPath(path), 'r');
  try {
    yield* decompressed(fd, compressedPath(path));
  } finally {
    closeSync(fd);
  }
}

function openEither(path: string): { readonly fd: number; readonly isCompressed: boolean } {
  for (let look = 1; ; look += 1) {
    try {
      return { fd: openSync(path, 'r'), isCompressed: false };
    } catch (error) {
      if (errnoOf(error) !== 'ENOENT') throw error;
    }
    try {
      return { fd: openSync(compressedPath(path), 'r'), isCompressed: true };
    } catch (error) {
      if (errnoOf(error) !== 'ENOENT' || look >= LOOKS) throw error;
    }
  }
}

function* fromPlain(fd: number, start: number, end: number, chunkBytes: number): Generator<Buffer, void> {
  const limit = Math.min(end, fstatSync(fd).size);
  const chunk = Buffer.allocUnsafe(Math.max(1, Math.min(chunkBytes, limit - start)));
  let position = start;
  while (position < limit) {
    const read = readSync(fd, chunk, 0, Math.min(chunk.length, limit - position), position);
    if (read === 0) return;
    position += read;
    yield chunk.subarray(0, read);
  }
}

function* fromCompressed(fd: number, name: string, start: number, end: number): Generator<Buffer, void> {
  let position = 0;
  for (const block of decompressed(fd, name)) {
    const wanted = block.subarray(Math.max(0, start - position), Math.max(0, end - position));
    position += block.length;
    if (wanted.length > 0) yield wanted;
    if (position >= end) return;
  }
}

function* decompressed(fd: number, name: string): Generator<Buffer, void> {
  let blocks: Buffer[] = [];
  const decoder = new Decompress((block) => blocks.push(Buffer.from(block.buffer, block.byteOffset, block.length)));
  const push = (piece: Uint8Array, isLast: boolean): readonly Buffer[] => {
    blocks = [];
    try {
      decoder.push(piece, isLast);
    } catch (error) {
      throw internal(`${name} is damaged`, error);
    }
    return blocks;
  };
  for (;;) {
    // A new one each time: the decoder keeps pieces that it cannot use yet.
    const chunk = Buffer.allocUnsafe(COMPRESSED_CHUNK_BYTES);
    const read = readSync(fd, chunk, 0, chunk.length, null);
    if (read === 0) break;
    for (let at = 0; at < read; at += PIECE_BYTES) {
      yield* push(chunk.subarray(at, Math.min(at + PIECE_BYTES, read)), false);
    }
  }
  yield* push(new Uint8Array(0), true);
}
