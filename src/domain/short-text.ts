/** Lists show a line or two of each thread, never a book: so many UTF-16 units of a preview or a name. */
export const MOST_SHOWN_CHARACTERS = 2_000;

/** What is shown of a text. Never ends within a character: half of one is no Unicode, and clients refuse an answer that holds it. */
export function beginning(text: string): string {
  const isCutThrough = (text.codePointAt(MOST_SHOWN_CHARACTERS - 1) ?? 0) > 0xffff;
  return text.slice(0, isCutThrough ? MOST_SHOWN_CHARACTERS - 1 : MOST_SHOWN_CHARACTERS);
}
