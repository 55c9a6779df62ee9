/** What a program has said, in a bounded place: its beginning and its end, with a note of what is missing between. */
export class OutputExcerpt {
  readonly #half: number;
  #head: Buffer[] = [];
  #headBytes = 0;
  #tail: Buffer[] = [];
  #tailBytes = 0;
  #droppedBytes = 0;

  /** @param maxBytes of what is kept; the note comes on top */
  constructor(maxBytes: number) {
    this.#half = Math.floor(maxBytes / 2);
  }

  add(chunk: Buffer): void {
    const forHead = chunk.subarray(0, this.#half - this.#headBytes);
    if (forHead.length > 0) {
      this.#head.push(Buffer.from(forHead));
      this.#headBytes += forHead.length;
    }
    const rest = chunk.subarray(forHead.length);
    if (rest.length === 0) return;
    // Only the end of a big piece can stay; a copy, because pieces may be parts of something bigger.
    const forTail = Buffer.from(rest.subarray(Math.max(0, rest.length - this.#half)));
    this.#droppedBytes += rest.length - forTail.length;
    this.#tail.push(forTail);
    this.#tailBytes += forTail.length;
    this.#trimTail();
  }

  /** As UTF-8; characters that were cut through go with what is missing. */
  get text(): string {
    const [head, tail] = [Buffer.concat(this.#head), Buffer.concat(this.#tail)];
    if (this.#droppedBytes === 0) return Buffer.concat([head, tail]).toString('utf8');
    const [shownHead, shownTail] = [head.subarray(0, wholeEnd(head)), tail.subarray(wholeStart(tail))];
    const missing = this.#droppedBytes + head.length - shownHead.length + tail.length - shownTail.length;
    return `${shownHead.toString('utf8')}\n[... ${missing} bytes left out ...]\n${shownTail.toString('utf8')}`;
  }

  #trimTail(): void {
    while (this.#tailBytes > this.#half) {
      const [oldest] = this.#tail;
      if (oldest === undefined) return;
      const excess = this.#tailBytes - this.#half;
      const cut = Math.min(excess, oldest.length);
      if (cut === oldest.length) this.#tail.shift();
      else this.#tail[0] = oldest.subarray(cut);
      this.#tailBytes -= cut;
      this.#droppedBytes += cut;
    }
  }
}

/** The excerpt of a text that is there already. */
export function excerptOf(text: string, maxBytes: number): string {
  const excerpt = new OutputExcerpt(maxBytes);
  excerpt.add(Buffer.from(text, 'utf8'));
  return excerpt.text;
}

const isContinuation = (byte: number | undefined): boolean => byte !== undefined && (byte & 0xc0) === 0x80;

/** Where the last whole character ends. */
function wholeEnd(bytes: Buffer): number {
  let start = bytes.length - 1;
  while (start > 0 && bytes.length - start < 4 && isContinuation(bytes[start])) start -= 1;
  const first = bytes[start] ?? 0;
  const length = first >= 0xf0 ? 4 : first >= 0xe0 ? 3 : first >= 0xc0 ? 2 : 1;
  return start >= 0 && start + length > bytes.length ? start : bytes.length;
}

/** Where the first whole character begins. */
function wholeStart(bytes: Buffer): number {
  let start = 0;
  while (start < 3 && isContinuation(bytes[start])) start += 1;
  return start;
}
