import * as z from 'zod';
import { invalidRequest } from '../../domain/errors.ts';
import type { UserInput } from '../../domain/user-input.ts';
import { RPC_CODES, RpcError } from '../errors.ts';
import { choice, list, pathText, struct, tagged, text, usize, verbatim } from './serde.ts';

/** The longest input that is taken, in characters of all its texts. */
export const MAX_INPUT_CHARACTERS = 1_048_576;

const imageDetail = choice(['auto', 'low', 'high', 'original']);

const textElement = struct('TextElement', {
  byteRange: struct('ByteRange', { start: usize(), end: usize() }),
  placeholder: text().nullish(),
});

/** `url` or `fileId` stand beside `type`: one of them must be there. */
const reference = { url: z.unknown().optional(), fileId: z.unknown().optional() };
const isReference = ({ url, fileId }: { readonly url?: unknown; readonly fileId?: unknown }): boolean =>
  typeof url === 'string' || typeof fileId === 'string';
const noReference = (name: string) => ({
  error: verbatim(`data did not match any variant of untagged enum ${name}`),
});

/** Parts of a message. */
export const userInputs = list(
  tagged('UserInput', [
    struct('UserInput', { type: z.literal('text'), text: text(), text_elements: list(textElement).optional() }),
    struct('UserInput', { type: z.literal('image'), ...reference, detail: imageDetail.nullish() }).refine(
      isReference,
      noReference('ImageReference'),
    ),
    struct('UserInput', { type: z.literal('localImage'), path: pathText(), detail: imageDetail.nullish() }),
    struct('UserInput', { type: z.literal('audio'), ...reference }).refine(isReference, noReference('AudioReference')),
    struct('UserInput', { type: z.literal('localAudio'), path: pathText() }),
    struct('UserInput', { type: z.literal('skill'), name: text(), path: pathText() }),
    struct('UserInput', { type: z.literal('mention'), name: text(), path: text() }),
  ]),
);

type ParsedInput = z.infer<typeof userInputs>;

/**
 * The input in its plain type.
 * @throws invalidRequest for an image that lies elsewhere
 */
export function inputOf(parts: ParsedInput): readonly UserInput[] {
  return parts.map((part) => {
    if (part.type !== 'image' && part.type !== 'audio') {
      return part.type === 'text' ? { ...part, text_elements: part.text_elements ?? [] } : part;
    }
    const { url, fileId, ...rest } = part;
    if (part.type === 'image' && typeof url === 'string' && /^https?:/i.test(url)) {
      throw invalidRequest('remote image URLs are not supported; use an inline data URL instead');
    }
    return { ...rest, ...(typeof url === 'string' ? { url } : { fileId: String(fileId) }) };
  });
}

/** @throws RpcError -32602 if all texts together are longer than one input may be */
export function assertNotTooLong(input: readonly UserInput[]): void {
  const characters = input.reduce((sum, part) => sum + lengthOf(part), 0);
  if (characters <= MAX_INPUT_CHARACTERS) return;
  throw new RpcError(
    RPC_CODES.invalidParams,
    `Input exceeds the maximum length of ${MAX_INPUT_CHARACTERS} characters.`,
    { input_error_code: 'input_too_large', max_chars: MAX_INPUT_CHARACTERS, actual_chars: characters },
  );
}

/** Code points, as the peer counts them. */
function lengthOf({ type, text: words }: UserInput): number {
  if (type !== 'text' || typeof words !== 'string') return 0;
  let pairs = 0;
  for (let at = 0; at < words.length; at += 1) if ((words.charCodeAt(at) & 0xfc00) === 0xdc00) pairs += 1;
  return words.length - pairs;
}
