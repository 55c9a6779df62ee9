import { arrayMember, isJsonObject, objectMember, stringMember, type JsonObject } from './json.ts';
import type { RolloutItem } from './rollout-line.ts';

/** What a user said, as far as listing needs it. */
export interface UserText {
  /** The words after the marker that precedes the user's own request, trimmed; empty if there are none. */
  readonly text: string;
  /** What stands for a message without words: `[Image]`, `[Audio]` or nothing. */
  readonly placeholder: string;
}

/** Clients that put context before the request separate the two with this line. */
const REQUEST_MARKER = '## My request for Codex:';

/** The user's message in a rollout item of either history mode; undefined for any other item. */
export function userTextOf(item: RolloutItem): UserText | undefined {
  if (item.type !== 'event_msg') return undefined;
  const { payload } = item;
  switch (payload['type']) {
    case 'user_message':
      return {
        text: requestIn(stringMember(payload, 'message') ?? ''),
        placeholder: placeholderOf(
          arrayMember(payload, 'images').length + arrayMember(payload, 'local_images').length,
          arrayMember(payload, 'audio').length + arrayMember(payload, 'local_audio').length,
        ),
      };
    case 'item_completed': {
      const completed = objectMember(payload, 'item');
      return completed?.['type'] === 'UserMessage' ? textOfContent(completed) : undefined;
    }
    default:
      return undefined;
  }
}

function textOfContent(completed: JsonObject): UserText {
  const parts = arrayMember(completed, 'content').filter(isJsonObject);
  const ofKind = (kinds: readonly string[]): number =>
    parts.filter((part) => kinds.includes(stringMember(part, 'type') ?? '')).length;
  const text = parts
    .filter((part) => part['type'] === 'text')
    .map((part) => stringMember(part, 'text') ?? '')
    .join('');
  return {
    text: requestIn(text),
    placeholder: placeholderOf(
      ofKind(['image', 'local_image', 'localImage']),
      ofKind(['audio', 'local_audio', 'localAudio']),
    ),
  };
}

function requestIn(message: string): string {
  const marker = message.indexOf(REQUEST_MARKER);
  return (marker < 0 ? message : message.slice(marker + REQUEST_MARKER.length)).trim();
}

const placeholderOf = (images: number, audio: number): string => (images > 0 ? '[Image]' : audio > 0 ? '[Audio]' : '');
