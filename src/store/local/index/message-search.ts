import type { JsonValue } from '../../../domain/json.ts';
import { isJsonObject } from '../../../domain/json.ts';
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

/** The words around the first place where a term stands, on one line; undefined if it does not. Literal, case-insensitive. */
export function snippetOf(text: string, foldedTerm: string): string | undefined {
  const found = text.toLowerCase().indexOf(foldedTerm);
  if (found < 0) return undefined;
  const start = Math.max(0, found - CHARACTERS_BEFORE);
  const end = Math.min(text.length, found + foldedTerm.length + CHARACTERS_AFTER);
  const words = text.slice(start, end).replace(/\s+/g, ' ').trim();
  return `${start > 0 ? '…' : ''}${words}${end < text.length ? '…' : ''}`;
}

const textOfPart = (part: JsonValue): string =>
  isJsonObject(part) && part['type'] === 'text' && typeof part['text'] === 'string' ? part['text'] : '';
