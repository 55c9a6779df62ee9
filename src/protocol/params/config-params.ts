import type * as z from 'zod';
import type { ChosenSetting } from '../../domain/organization.ts';
import { choice, flag, json, list, nonEmptyText, struct, text } from './serde.ts';

/** Parameters of methods that write settings. */

const edit = { keyPath: text(), mergeStrategy: choice(['replace', 'upsert']), value: json() };
const editOf = (name: string) => struct(name, edit);

const write = { filePath: text().nullish(), expectedVersion: text().nullish() };

export type ConfigEdit = z.infer<ReturnType<typeof editOf>>;

export const configValueWrite = struct('ConfigValueWriteParams', { ...edit, ...write });

export const configBatchWrite = struct('ConfigBatchWriteParams', {
  edits: list(editOf('ConfigEdit')),
  ...write,
  reloadUserConfig: flag().optional(),
});

/** What each setting can be. */
export const SETTINGS: Readonly<Record<ChosenSetting, z.ZodType<string>>> = {
  model: nonEmptyText('model must not be empty'),
  model_reasoning_effort: nonEmptyText('reasoning_effort must not be empty'),
};
