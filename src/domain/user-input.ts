import { arrayMember, isJsonObject, stringMember, type JsonObject } from './json.ts';

/** One part of what a user sends, in the protocol's names: `text`, `image`, `localImage`, `skill`, `mention` … */
export interface UserInput extends JsonObject {
  readonly type: string;
}

/** What a client sends to begin a turn or to steer one. */
export interface UserMessage {
  readonly input: readonly UserInput[];
  /** The client's own id of the message, echoed in the item that shows it. */
  readonly clientId: string | null;
}

/** The words of an input, other parts left out. */
export const wordsOf = (input: readonly UserInput[]): string =>
  input.map((part) => (part.type === 'text' ? (stringMember(part, 'text') ?? '') : '')).join('');

/** An input part as completed items store it. */
export function storedInput(part: UserInput): JsonObject {
  switch (part.type) {
    case 'text':
      return {
        type: 'text',
        text: stringMember(part, 'text') ?? '',
        text_elements: arrayMember(part, 'text_elements'),
      };
    case 'image':
      // One that is named by a file id stays as it is.
      return typeof part['url'] === 'string' ? { type: 'image', image_url: part['url'], ...detailOf(part) } : part;
    case 'localImage':
      return { type: 'local_image', path: stringMember(part, 'path') ?? '', ...detailOf(part) };
    default:
      return part;
  }
}

const detailOf = (part: UserInput): JsonObject =>
  typeof part['detail'] === 'string' ? { detail: part['detail'] } : {};

/** An input part as the model reads it; undefined for parts that carry nothing for it. */
export function modelInput(part: UserInput): JsonObject | undefined {
  switch (part.type) {
    case 'text':
      return { type: 'input_text', text: stringMember(part, 'text') ?? '' };
    case 'image':
      return typeof part['fileId'] === 'string'
        ? { type: 'input_image', file_id: part['fileId'] }
        : { type: 'input_image', image_url: stringMember(part, 'url') ?? '' };
    default:
      return undefined;
  }
}

/** A message as the one event that legacy history keeps of it. */
export function legacyUserEvent({ input, clientId }: UserMessage): JsonObject {
  const texts = (type: string, key: string): string[] =>
    input.filter((part) => part.type === type).flatMap((part) => stringMember(part, key) ?? []);
  const [audio, localAudio] = [texts('audio', 'url'), texts('localAudio', 'path')];
  return {
    type: 'user_message',
    ...(clientId === null ? {} : { client_id: clientId }),
    message: wordsOf(input),
    images: texts('image', 'url'),
    local_images: texts('localImage', 'path'),
    ...(audio.length === 0 ? {} : { audio }),
    ...(localAudio.length === 0 ? {} : { local_audio: localAudio }),
    text_elements: input.filter(isJsonObject).flatMap((part) => arrayMember(part, 'text_elements')),
  };
}
