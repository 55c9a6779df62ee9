import { arrayMember, stringMember, type JsonObject } from './json.ts';
import { pathOf, textOrNull } from './stored-members.ts';

/** A stored user input part in the client's names. */
export function userInputOf(part: JsonObject): JsonObject {
  switch (part['type']) {
    case 'text':
      return {
        type: 'text',
        text: stringMember(part, 'text') ?? '',
        text_elements: arrayMember(part, 'text_elements'),
      };
    case 'image':
      return { type: 'image', ...referenceOf(part, 'image_url'), detail: textOrNull(part, 'detail') };
    case 'local_image':
    case 'localImage':
      return { type: 'localImage', detail: textOrNull(part, 'detail'), path: pathOf(part['path']) };
    case 'audio':
      return { type: 'audio', ...referenceOf(part, 'audio_url') };
    case 'local_audio':
    case 'localAudio':
      return { type: 'localAudio', path: pathOf(part['path']) };
    default:
      return part;
  }
}

/** The parts of a user's message that a legacy event keeps in lists by kind. */
export function legacyUserInputs(event: JsonObject): readonly JsonObject[] {
  const message = stringMember(event, 'message') ?? '';
  const texts = (key: string): string[] =>
    arrayMember(event, key).filter((value): value is string => typeof value === 'string');
  return [
    ...(message === '' ? [] : [{ type: 'text', text: message, text_elements: arrayMember(event, 'text_elements') }]),
    ...legacyImages(event, texts('images'), texts('file_ids')),
    ...texts('local_images').map((path, index) => ({
      type: 'localImage',
      path,
      detail: detailAt(event, 'local_image_details', index),
    })),
    ...texts('audio').map((url) => ({ type: 'audio', url })),
    ...texts('local_audio').map((path) => ({ type: 'localAudio', path })),
  ];
}

/** Images in the order in which they were sent: inline ones and uploaded files stand in lists of their own. */
function legacyImages(event: JsonObject, urls: readonly string[], fileIds: readonly string[]): readonly JsonObject[] {
  const [inline, files] = [[...urls], [...fileIds]];
  const order = arrayMember(event, 'image_order');
  return Array.from({ length: urls.length + fileIds.length }, (_, index) => {
    const fileId = order[index] === 'file' || inline.length === 0 ? files.shift() : undefined;
    const reference = fileId === undefined ? { url: inline.shift() ?? '' } : { fileId };
    return { type: 'image', ...reference, detail: detailAt(event, 'image_details', index) };
  });
}

function detailAt(event: JsonObject, key: string, index: number): string | null {
  const detail = arrayMember(event, key)[index];
  return typeof detail === 'string' ? detail : null;
}

/** What a stored part refers to, in the client's names. */
function referenceOf(part: JsonObject, urlKey: string): JsonObject {
  const fileId = stringMember(part, 'file_id') ?? stringMember(part, 'fileId');
  return fileId === undefined ? { url: stringMember(part, urlKey) ?? stringMember(part, 'url') ?? '' } : { fileId };
}
