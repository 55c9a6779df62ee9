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
      return { type: 'image', ...storedReference(part, 'image_url'), ...storedDetail(part) };
    case 'localImage':
      return { type: 'local_image', path: stringMember(part, 'path') ?? '', ...storedDetail(part) };
    case 'audio':
      return { type: 'audio', ...storedReference(part, 'audio_url') };
    case 'localAudio':
      return { type: 'local_audio', path: stringMember(part, 'path') ?? '' };
    default:
      return part;
  }
}

/** What a part refers to: something inline, or a file that was uploaded before. */
function storedReference(part: UserInput, urlKey: string): JsonObject {
  const fileId = stringMember(part, 'fileId');
  return fileId === undefined ? { [urlKey]: stringMember(part, 'url') ?? '' } : { file_id: fileId };
}

const storedDetail = (part: UserInput): JsonObject => {
  const detail = stringMember(part, 'detail');
  return detail === undefined ? {} : { detail };
};

/** An input part as the model reads it; undefined for parts that carry nothing for it. */
export function modelInput(part: UserInput): JsonObject | undefined {
  switch (part.type) {
    case 'text':
      return { type: 'input_text', text: stringMember(part, 'text') ?? '' };
    case 'image':
      return { type: 'input_image', ...storedReference(part, 'image_url'), ...storedDetail(part) };
    default:
      return undefined;
  }
}

/** A message as the one event that legacy history keeps of it: images apart from words, and in what order. */
export function legacyUserEvent({ input, clientId }: UserMessage): JsonObject {
  const texts = (type: string, key: string): string[] =>
    input.filter((part) => part.type === type).flatMap((part) => stringMember(part, key) ?? []);
  const images = input.filter(({ type }) => type === 'image');
  const isFile = (part: UserInput): boolean => stringMember(part, 'fileId') !== undefined;
  const files = texts('image', 'fileId');
  return {
    type: 'user_message',
    ...(clientId === null ? {} : { client_id: clientId }),
    message: wordsOf(input),
    images: texts('image', 'url'),
    ...details('image_details', images),
    ...(files.length === 0
      ? {}
      : { file_ids: files, image_order: images.map((part) => (isFile(part) ? 'file' : 'inline')) }),
    local_images: texts('localImage', 'path'),
    ...details(
      'local_image_details',
      input.filter(({ type }) => type === 'localImage'),
    ),
    audio: texts('audio', 'url'),
    local_audio: texts('localAudio', 'path'),
    text_elements: input.filter(isJsonObject).flatMap((part) => arrayMember(part, 'text_elements')),
  };
}

/** Details of images, one for each up to the last that has one. */
function details(key: string, images: readonly UserInput[]): JsonObject {
  const all = images.map((part) => stringMember(part, 'detail') ?? null);
  const last = all.findLastIndex((detail) => detail !== null);
  return last === -1 ? {} : { [key]: all.slice(0, last + 1) };
}
