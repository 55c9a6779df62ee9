/**
 * WebSocket as far as a bridge needs it (RFC 6455): lines become text messages, text messages become pieces of lines.
 * Nothing is held whole, however long it is: that, and its quick start, is why a bridge does not use the library.
 */

const OPCODE = { continuation: 0, text: 1, close: 8, ping: 9, pong: 10 } as const;

/** Pieces of a line that come one by one are sent together: receivers bound how many make a message. */
const FRAGMENT_BYTES = 16 * 1024;

const NEWLINE = 0x0a;

const NOTHING = Buffer.alloc(0);

/** Ended as agreed: whoever used the connection has left. */
export const CLOSE_NORMAL = 1000;

/** Makes text messages of lines. Lines of white space are none. */
export class LinesToMessages {
  /** Of the line that has begun: what has not been sent yet. */
  #held: Buffer[] = [];
  #heldBytes = 0;
  /** The first fragment of the line has been sent. */
  #isBegun = false;

  /** @returns what goes to the socket, in order */
  push(chunk: Buffer): readonly Buffer[] {
    const out: Buffer[] = [];
    let from = 0;
    for (let newline = chunk.indexOf(NEWLINE); newline !== -1; newline = chunk.indexOf(NEWLINE, from)) {
      this.#hold(chunk.subarray(from, newline));
      this.#endLine(out);
      from = newline + 1;
    }
    this.#hold(chunk.subarray(from));
    if (this.#heldBytes >= FRAGMENT_BYTES) this.#send(out, false);
    return out;
  }

  /** Ends the last line, which had no newline. */
  end(): readonly Buffer[] {
    const out: Buffer[] = [];
    this.#endLine(out);
    return out;
  }

  #hold(piece: Buffer): void {
    if (piece.length === 0 || (this.#heldBytes === 0 && !this.#isBegun && isBlank(piece))) return;
    this.#held.push(piece);
    this.#heldBytes += piece.length;
  }

  #endLine(out: Buffer[]): void {
    if (this.#isBegun || this.#heldBytes > 0) this.#send(out, true);
    this.#isBegun = false;
  }

  #send(out: Buffer[], isLast: boolean): void {
    out.push(header(this.#isBegun ? OPCODE.continuation : OPCODE.text, this.#heldBytes, isLast), ...this.#held);
    this.#held = [];
    this.#heldBytes = 0;
    this.#isBegun = true;
  }
}

const isBlank = (piece: Buffer): boolean =>
  piece.every((byte) => byte === 0x20 || byte === 0x09 || byte === 0x0d || byte === NEWLINE);

export const closeFrame = (code: number): Buffer => {
  const payload = Buffer.alloc(2);
  payload.writeUInt16BE(code);
  return Buffer.concat([header(OPCODE.close, payload.length, true), payload]);
};

export const pongFrame = (payload: Buffer = NOTHING): Buffer =>
  Buffer.concat([header(OPCODE.pong, payload.length, true), payload]);

/** With a mask, as clients have to, of zeros: what a mask protects from does not sit on a Unix socket. */
function header(opcode: number, length: number, isLast: boolean): Buffer {
  const extra = length < 126 ? 0 : length < 0x1_0000 ? 2 : 8;
  const bytes = Buffer.alloc(2 + extra + 4);
  bytes[0] = opcode | (isLast ? 0x80 : 0);
  bytes[1] = 0x80 | (extra === 0 ? length : extra === 2 ? 126 : 127);
  if (extra === 2) bytes.writeUInt16BE(length, 2);
  else if (extra === 8) bytes.writeBigUInt64BE(BigInt(length), 2);
  return bytes;
}

/** What comes from a server. */
export interface FrameHandler {
  /** A piece of a text message; the last one may be empty. */
  readonly onText: (piece: Buffer, isLast: boolean) => void;
  readonly onPing: (payload: Buffer) => void;
  readonly onClose: (code: number | null, reason: string) => void;
}

/** Reads a server's frames from chunks of any size. Text is handed on as it comes. */
export class FrameReader {
  readonly #handler: FrameHandler;
  /** What has come of a header, or of the payload of a control frame. */
  #partial: Buffer = NOTHING;
  #frame: { readonly opcode: number; readonly isLast: boolean; left: number } | undefined;
  /** The message that is being continued is text. */
  #isText = false;

  constructor(handler: FrameHandler) {
    this.#handler = handler;
  }

  push(chunk: Buffer): void {
    let rest = this.#partial.length === 0 ? chunk : Buffer.concat([this.#partial, chunk]);
    this.#partial = NOTHING;
    for (;;) {
      if (this.#frame === undefined) {
        const size = headerSize(rest);
        if (size === undefined || rest.length < size) break;
        this.#begin(rest, size);
        rest = rest.subarray(size);
      }
      const taken = this.#takePayload(rest);
      if (taken === undefined) break;
      rest = rest.subarray(taken);
    }
    // A copy: a slice would keep the whole chunk.
    if (rest.length > 0) this.#partial = Buffer.from(rest);
  }

  #begin(bytes: Buffer, headerBytes: number): void {
    const [first = 0, second = 0] = bytes;
    const left =
      headerBytes === 2 ? second & 0x7f : headerBytes === 4 ? bytes.readUInt16BE(2) : Number(bytes.readBigUInt64BE(2));
    const opcode = first & 0x0f;
    if (opcode < OPCODE.close && opcode !== OPCODE.continuation) this.#isText = opcode === OPCODE.text;
    this.#frame = { opcode, isLast: (first & 0x80) !== 0, left };
  }

  /** @returns bytes used; undefined if more must come first */
  #takePayload(bytes: Buffer): number | undefined {
    const frame = this.#frame;
    if (frame === undefined) return undefined;
    if (frame.opcode >= OPCODE.close) {
      // At most 125 bytes.
      if (bytes.length < frame.left) return undefined;
      this.#frame = undefined;
      this.#control(frame.opcode, bytes.subarray(0, frame.left));
      return frame.left;
    }
    if (bytes.length === 0 && frame.left > 0) return undefined;
    const piece = bytes.subarray(0, frame.left);
    frame.left -= piece.length;
    const isWhole = frame.left === 0;
    if (isWhole) this.#frame = undefined;
    if (this.#isText) this.#handler.onText(piece, isWhole && frame.isLast);
    return piece.length;
  }

  #control(opcode: number, payload: Buffer): void {
    if (opcode === OPCODE.ping) this.#handler.onPing(payload);
    else if (opcode === OPCODE.close) {
      this.#handler.onClose(
        payload.length < 2 ? null : payload.readUInt16BE(0),
        payload.length < 2 ? '' : payload.toString('utf8', 2),
      );
    }
  }
}

/** Undefined if it cannot be told yet. */
function headerSize(bytes: Buffer): number | undefined {
  const [, second] = bytes;
  if (second === undefined) return undefined;
  const length = second & 0x7f;
  return length < 126 ? 2 : length === 126 ? 4 : 10;
}
