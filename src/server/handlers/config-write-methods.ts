import { SkeinError } from '../../domain/errors.ts';
import type { ChosenSetting } from '../../domain/organization.ts';
import { configBatchWrite, configValueWrite, SETTINGS, type ConfigEdit } from '../../protocol/params/config-params.ts';
import { sentenceOf } from '../../protocol/params/serde.ts';
import type { Choices } from '../../runtime/chosen-defaults.ts';
import { HomeLayout } from '../../store/local/home-layout.ts';
import { method, type Method, type Request, type Services } from '../request.ts';

/** Where choices lie, as clients name the file. */
export const settingsFile = ({ server }: Services): string => new HomeLayout(server.home).organization;

const refusal = (reason: string, message: string): SkeinError =>
  new SkeinError('invalidRequest', message, { data: { config_write_error_code: reason } });

interface Write {
  readonly filePath?: string | null | undefined;
  readonly expectedVersion?: string | null | undefined;
}

async function write(
  what: string,
  edits: readonly ConfigEdit[],
  { filePath, expectedVersion }: Write,
  request: Request,
  services: Services,
): Promise<void> {
  const file = settingsFile(services);
  if (typeof filePath === 'string' && filePath !== file) {
    throw refusal('configLayerReadonly', 'Only writes to the user config are allowed');
  }
  // All are looked at before the first is made.
  const choices: Choices = Object.fromEntries(edits.map((edit) => [edit.keyPath, chosenBy(edit, what)]));
  const version = await services.manager.organization.chosenDefaults.choose(choices, expectedVersion ?? null);
  request.answer({ status: 'ok', version, filePath: file, overriddenMetadata: null });
}

/** @throws unsupported for what Skein would not go by; invalidRequest for a value that cannot be */
function chosenBy({ keyPath, value }: ConfigEdit, what: string): string | null {
  if (keyPath === '') throw refusal('configValidationError', 'keyPath must not be empty');
  if (!isSetting(keyPath)) {
    throw new SkeinError('unsupported', `${what} is not supported by Skein for \`${keyPath}\``, {
      data: { config_write_error_code: 'configSchemaUnknownKey' },
    });
  }
  if (value === null) return null;
  const result = SETTINGS[keyPath].safeParse(value);
  if (result.success) return result.data;
  const sentence = sentenceOf(result.error, value);
  throw refusal('configValidationError', `Invalid configuration: ${sentence}\nin \`${keyPath}\`\n`);
}

const isSetting = (keyPath: string): keyPath is ChosenSetting => Object.hasOwn(SETTINGS, keyPath);

/**
 * What clients choose for all threads that are to come. It is kept beside what else people set, not in the operator's
 * configuration, and wins over it. What Skein would not go by is refused: to keep it would say something untrue.
 */
export const configWriteMethods: Readonly<Record<string, Method>> = {
  'config/value/write': method(configValueWrite, (params, request, services) =>
    write('config/value/write', [params], params, request, services),
  ),
  'config/batchWrite': method(configBatchWrite, (params, request, services) =>
    write('config/batchWrite', params.edits, params, request, services),
  ),
};
