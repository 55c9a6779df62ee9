const QUOTE = 0x22;
const COMMA = 0x2c;
const COLON = 0x3a;
const BRACKET = 0x5b;
const BACKSLASH = 0x5c;
const BRACE = 0x7b;

/**
 * What a message costs to parse, and to hold afterwards, is its values and names much more than its length: a megabyte
 * of empty objects takes as long as a hundred of text, and sixteen times the memory.
 * @returns whether there are more than so many; counts commas, colons and opening brackets outside texts, and stops there
 */
export function isLaborious(json: Uint8Array, most: number): boolean {
  if (json.length <= most) return false;
  let values = 0;
  let isText = false;
  for (let at = 0; at < json.length; at += 1) {
    const byte = json[at];
    if (isText) {
      if (byte === BACKSLASH) at += 1;
      else if (byte === QUOTE) isText = false;
    } else if (byte === QUOTE) isText = true;
    else if (byte === COMMA || byte === COLON || byte === BRACKET || byte === BRACE) {
      values += 1;
      if (values > most) return true;
    }
  }
  return false;
}
