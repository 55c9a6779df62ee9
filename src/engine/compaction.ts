import { newUuid } from '../domain/ids.ts';
import { arrayMember, isJsonObject, stringMember, type JsonObject } from '../domain/json.ts';
import type { RolloutItem, RolloutLine } from '../domain/rollout-line.ts';

/** Says what the message is that a model reads in the place of what was summarised. */
const SUMMARY_PREFIX = 'Summary of the conversation so far, made when its history was compacted:\n';

/** Bytes of the user's own words that are kept beside a summary, newest first. */
const KEPT_BYTES = 80_000;

/**
 * The record that takes the place of a history for whoever reads it as a model: the summary, after the user's own
 * words. People go on seeing everything.
 */
export async function compactedRecord(history: AsyncIterable<RolloutLine>, summary: string): Promise<RolloutItem> {
  const said: string[] = [];
  for await (const { item } of history) {
    if (item.type === 'compacted') {
      said.length = 0;
      for (const message of arrayMember(item.payload, 'replacement_history')) {
        if (isJsonObject(message)) said.push(...wordsOfUser(message));
      }
    } else if (item.type === 'response_item') said.push(...wordsOfUser(item.payload));
  }
  const text = `${SUMMARY_PREFIX}${summary}`;
  return {
    type: 'compacted',
    payload: { message: text, replacement_history: [...newest(said, KEPT_BYTES), text].map(userMessage) },
  };
}

/** What a user has said in a message; nothing of what clients, tools and earlier summaries say in the user's name. */
function wordsOfUser(message: JsonObject): readonly string[] {
  if (stringMember(message, 'type') !== 'message' || stringMember(message, 'role') !== 'user') return [];
  const text = arrayMember(message, 'content')
    .filter(isJsonObject)
    .map((part) => stringMember(part, 'text') ?? '')
    .join('');
  return text === '' || text.startsWith(SUMMARY_PREFIX) || /^<[a-z_]+>/.test(text) ? [] : [text];
}

/** The last of them that fit, in order. */
function newest(texts: readonly string[], maxBytes: number): readonly string[] {
  let bytes = 0;
  const first = texts.findLastIndex((text) => (bytes += Buffer.byteLength(text)) > maxBytes);
  return texts.slice(first + 1);
}

const userMessage = (text: string): JsonObject => ({
  type: 'message',
  id: `msg_${newUuid()}`,
  role: 'user',
  content: [{ type: 'input_text', text }],
});
