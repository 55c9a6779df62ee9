import { isJsonObject, type JsonObject } from '../domain/json.ts';

/**
 * A line of the log that is no longer than it may be. One that is longer is cut: what it says is kept, as far as there is
 * room, and the rest of it as text, from its beginning. It stays one JSON object on one line.
 * @param maxBytes at least a few hundred
 */
export function fittingLine(line: string, maxBytes: number): string {
  const lineBytes = Buffer.byteLength(line);
  if (lineBytes <= maxBytes) return line;
  const { level, time, pid, msg } = entryOf(line);
  // Characters are bytes of different number, and some are spelled as several: so it is tried.
  for (let length = maxBytes; ; length = Math.floor(length / 2)) {
    const said = typeof msg === 'string' ? msg.slice(0, length) : '';
    const cut = `${JSON.stringify({ level, time, pid, lineBytes, beginning: line.slice(0, length), msg: said })}\n`;
    if (length === 0 || Buffer.byteLength(cut) <= maxBytes) return cut;
  }
}

function entryOf(line: string): JsonObject {
  try {
    const entry: unknown = JSON.parse(line);
    return isJsonObject(entry) ? entry : {};
  } catch {
    return {};
  }
}
