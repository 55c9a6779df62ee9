import type { JsonValue } from '../../../domain/json.ts';
import { isJsonObject } from '../../../domain/json.ts';
import { foldedText } from '../../../domain/thread-query.ts';
import type { ThreadItem } from '../../../domain/turn.ts';

const CHARACTERS_BEFORE = 48;
const CHARACTERS_AFTER = 96;

/** What a person reads of a message: the user's words or the agent's. */
export function visibleText(item: ThreadItem): string {
  switch (item.type) {
    case 'userMessage':
      return Array.isArray(item['content']) ? item['content'].map(textOfPart).join('') : '';
    case 'agentMessage':
      return typeof item['text'] === 'string' ? item['text'] : '';
    default:
      return '';
  }
}

/**
 * The words around the first place where a term stands, on one line; undefined if it does not. Literal,
 * case-insensitive.
 *
 * @param foldedTerm as `foldedText` gives it
 */
export function snippetOf(text: string, foldedTerm: string): string | undefined {
  const folded = foldedText(text);
  const found = folded.indexOf(foldedTerm);
  if (found < 0) return undefined;
  const [from, to] =
    folded.length === text.length
      ? [found, found + foldedTerm.length]
      : [unfoldedIndex(text, found), unfoldedIndex(text, found + foldedTerm.length)];
  const start = characterStart(text, Math.max(0, from - CHARACTERS_BEFORE));
  const end = characterStart(text, Math.min(text.length, to + CHARACTERS_AFTER));
  const words = text.slice(start, end).replace(/\s+/g, ' ').trim();
  return `${start > 0 ? '…' : ''}${words}${end < text.length ? '…' : ''}`;
}

/** Some letters become two when their case is folded (İ): where an index of the folded text lies in the text itself. */
function unfoldedIndex(text: string, foldedIndex: number): number {
  let index = 0;
  for (let folded = 0; folded < foldedIndex && index < text.length;) {
    const character = String.fromCodePoint(text.codePointAt(index) ?? 0);
    folded += foldedText(character).length;
    index += character.length;
  }
  return index;
}

/** The index itself, or one before it if it would cut a character in two. */
function characterStart(text: string, index: number): number {
  const isInside = index > 0 && index < text.length && /^[\uDC00-\uDFFF]/.test(text.charAt(index));
  return isInside ? index - 1 : index;
}

const textOfPart = (part: JsonValue): string =>
  isJsonObject(part) && part['type'] === 'text' && typeof part['text'] === 'string' ? part['text'] : '';
