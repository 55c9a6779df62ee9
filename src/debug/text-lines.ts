/** Cuts text that comes in pieces into lines. Looks at each character once, in however small pieces a line comes. */
export class TextLines {
  #partial = '';

  /** Characters of the line that has not ended yet. */
  get pending(): number {
    return this.#partial.length;
  }

  /** The lines that end in this piece, without their newlines. All of them must be taken before the next piece is given. */
  *push(piece: string): Generator<string> {
    let from = 0;
    for (let end = piece.indexOf('\n'); end !== -1; end = piece.indexOf('\n', from)) {
      const line = this.#partial + piece.slice(from, end);
      this.#partial = '';
      from = end + 1;
      yield line;
    }
    this.#partial += piece.slice(from);
  }
}
