/** A complete line of a file, without its newline, and where it stands. */
export interface FileLine {
  /** Byte offset of its first byte in the file. */
  readonly offset: number;
  /** Length in bytes, without the newline. */
  readonly length: number;
  /** Null for a line longer than the limit, whose bytes were let go. */
  readonly bytes: Buffer | null;
}

const NEWLINE = 0x0a;

/** Longer lines are skipped: no message on the wire can be larger, and memory stays bounded. */
export const MAX_LINE_BYTES = 64 * 1024 * 1024;

/**
 * Cuts a stream of bytes into lines at 0x0A and nowhere else (D5): U+2028, CR and NUL are content.
 * Holds one unfinished line at most.
 */
export class LineSplitter {
  #offset: number;
  #held: Buffer[] = [];
  #heldLength = 0;
  #isTooLong = false;
  readonly #maxLineBytes: number;

  /** @param offset where in the file the first pushed byte stands */
  constructor(offset = 0, maxLineBytes = MAX_LINE_BYTES) {
    this.#offset = offset;
    this.#maxLineBytes = maxLineBytes;
  }

  /** The lines that end in this chunk. The chunk must stay untouched while its lines are in use. */
  *push(chunk: Buffer): Generator<FileLine> {
    let start = 0;
    for (;;) {
      const newline = chunk.indexOf(NEWLINE, start);
      if (newline < 0) break;
      yield this.#finish(chunk.subarray(start, newline));
      start = newline + 1;
    }
    this.#hold(chunk.subarray(start));
  }

  /** Bytes after the last newline: a record that lacks one, or a torn one. Undefined if the stream ended cleanly. */
  tail(): FileLine | undefined {
    if (this.#heldLength === 0) return undefined;
    return { offset: this.#offset, length: this.#heldLength, bytes: this.#take(Buffer.alloc(0)) };
  }

  #finish(rest: Buffer): FileLine {
    const length = this.#heldLength + rest.length;
    const isTooLong = this.#isTooLong || length > this.#maxLineBytes;
    const line = { offset: this.#offset, length, bytes: isTooLong ? null : this.#take(rest) };
    this.#offset += length + 1;
    this.#held = [];
    this.#heldLength = 0;
    this.#isTooLong = false;
    return line;
  }

  #take(rest: Buffer): Buffer | null {
    if (this.#isTooLong) return null;
    if (this.#held.length === 0) return rest;
    return rest.length === 0 && this.#held.length === 1
      ? (this.#held[0] ?? rest)
      : Buffer.concat([...this.#held, rest]);
  }

  #hold(rest: Buffer): void {
    if (rest.length === 0) return;
    this.#heldLength += rest.length;
    if (this.#isTooLong || this.#heldLength > this.#maxLineBytes) {
      this.#isTooLong = true;
      this.#held = [];
      return;
    }
    // Copied: the reader reuses its chunk buffer.
    this.#held.push(Buffer.from(rest));
  }
}
