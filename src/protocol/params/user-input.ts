import { z } from 'zod';
import { RPC_CODES, RpcError } from '../errors.ts';
import { list, struct, tagged, text, untagged } from './serde.ts';
import { invalidRequest } from '../../domain/errors.ts';
import type { UserInput } from '../../domain/user-input.ts';

/** The longest input that is taken, in characters of all its texts. */
export const MAX_INPUT_CHARACTERS = 1_048_576;

const imageReference = untagged('ImageReference', [z.object({ url: z.string() }), z.object({ fileId: z.string() })]);

/** Parts of a message. `url`/`fileId` of images are checked apart: they stand beside `type`. */
export const userInputs = list(
  tagged('UserInput', [
    struct('UserInput', { type: z.literal('text'), text: text(), text_elements: z.array(z.json()).optional() }),
    z.looseObject({ type: z.literal('image') }),
    struct('UserInput', { type: z.literal('localImage'), path: text(), detail: text().nullish() }),
    z.looseObject({ type: z.literal('audio') }),
    struct('UserInput', { type: z.literal('localAudio'), path: text() }),
    struct('UserInput', { type: z.literal('skill'), name: text(), path: text() }),
    struct('UserInput', { type: z.literal('mention'), name: text(), path: text() }),
  ]),
);

/**
 * Checks what a shape cannot say, and gives the input its plain type.
 * @throws RpcError if it is too long; invalidRequest for an image that lies elsewhere
 */
export function checkedInput(input: z.infer<typeof userInputs>): readonly UserInput[] {
  // The limit is the peer's: code points, not what people see as one character.
  // oxlint-disable-next-line typescript/no-misused-spread
  const characters = input.reduce((sum, part) => sum + (part.type === 'text' ? [...part.text].length : 0), 0);
  if (characters > MAX_INPUT_CHARACTERS) {
    throw new RpcError(
      RPC_CODES.invalidParams,
      `Input exceeds the maximum length of ${MAX_INPUT_CHARACTERS} characters.`,
      { input_error_code: 'input_too_large', max_chars: MAX_INPUT_CHARACTERS, actual_chars: characters },
    );
  }
  return input.map((part) => {
    if (part.type === 'image') {
      const reference = imageReference.safeParse(part);
      if (!reference.success) {
        throw new RpcError(
          RPC_CODES.invalidRequest,
          'Invalid request: data did not match any variant of untagged enum ImageReference',
        );
      }
      const isRemote = 'url' in reference.data && /^https?:/i.test(reference.data.url);
      if (isRemote) throw invalidRequest('remote image URLs are not supported; use an inline data URL instead');
    }
    return part.type === 'text' ? { ...part, text_elements: part.text_elements ?? [] } : (part as UserInput);
  });
}
