const QUOTE = 0x22;
const COMMA = 0x2c;
const COLON = 0x3a;
const BRACKET = 0x5b;
const BACKSLASH = 0x5c;
const BRACE = 0x7b;

/** As far as a text is looked through byte by byte, before the system looks for its end: most texts are shorter. */
const SHORT_TEXT_BYTES = 256;

/**
 * What a message costs to parse, and to hold afterwards, is its values and names much more than its length: a megabyte
 * of empty objects takes as long as a hundred of text, and sixteen times the memory.
 * @returns whether there are more than so many; counts commas, colons and opening brackets outside texts, and stops there
 */
export function isLaborious(json: Buffer, most: number): boolean {
  if (json.length <= most) return false;
  let values = 0;
  for (let at = 0; at < json.length; at += 1) {
    const byte = json[at];
    if (byte === QUOTE) at = endOfText(json, at + 1);
    else if (byte === COMMA || byte === COLON || byte === BRACKET || byte === BRACE) {
      values += 1;
      if (values > most) return true;
    }
  }
  return false;
}

/** Where the quote is that ends a text; behind all bytes, if it does not end. */
function endOfText(json: Buffer, from: number): number {
  let at = from;
  // Texts that are full of quotes are looked through by more and more bytes at a time.
  for (let stride = SHORT_TEXT_BYTES; ; stride *= 2) {
    const near = Math.min(at + stride, json.length);
    for (; at < near; at += 1) {
      if (json[at] === BACKSLASH) at += 1;
      else if (json[at] === QUOTE) return at;
    }
    const quote = json.indexOf(QUOTE, at);
    if (quote === -1) return json.length;
    if (!isEscaped(json, quote)) return quote;
    at = quote + 1;
  }
}

/** Whether a quote belongs to its text: an odd number of backslashes stands before it. */
function isEscaped(json: Buffer, quote: number): boolean {
  let first = quote;
  while (json[first - 1] === BACKSLASH) first -= 1;
  return (quote - first) % 2 === 1;
}
