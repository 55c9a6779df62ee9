import type { JsonObject } from '../../domain/json.ts';
import { invalidRequest } from '../../domain/errors.ts';
import * as z from 'zod';
import { list, openTagged, untagged, sentenceOf, struct, text, json } from './serde.ts';

/**
 * An item as models read them. Messages, thoughts and calls are checked for what readers of rollouts cannot do
 * without: a line that another product cannot read would be lost to it. Other kinds are kept as they are.
 */
export const responseItem = openTagged('ResponseItem', {
  message: struct('Message', {
    role: text(),
    content: list(
      openTagged('ContentItem', {
        input_text: struct('InputText', { text: text() }),
        output_text: struct('OutputText', { text: text() }),
      }),
    ),
  }),
  reasoning: struct('Reasoning', { summary: list(json()) }),
  function_call: struct('FunctionCall', { name: text(), arguments: text(), call_id: text() }),
  function_call_output: struct('FunctionCallOutput', {
    output: untagged('FunctionCallOutputBody', [z.string(), z.array(z.looseObject({}))]),
  }),
});

/** Reads items that the schema of a method lets through unseen. @throws invalidRequest that names the first bad one */
export function responseItems(items: readonly unknown[]): readonly JsonObject[] {
  return items.map((item, index) => {
    const result = responseItem.safeParse(item);
    if (result.success) return result.data;
    throw invalidRequest(`items[${index}] is not a valid response item: ${sentenceOf(result.error, item)}`);
  });
}
