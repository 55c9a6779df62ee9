import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import * as z from 'zod';
import { invalidRequest, messageOf } from '../domain/errors.ts';
import { daemonFiles } from '../domain/daemon-files.ts';
import { isJsonObject, type JsonObject, type JsonValue } from '../domain/json.ts';
import { configSchema, type Config } from './config.ts';

export interface ConfigSources {
  readonly home: string;
  /** Given on the command line; must exist. */
  readonly file?: string;
  /** `key.path=value`, later ones win. */
  readonly settings: readonly string[];
  readonly environment?: NodeJS.ProcessEnv;
}

/**
 * Puts the configuration together: defaults, then the file (`--config`, else `SKEIN_CONFIG`, else
 * `<home>/skein/daemon.config.json` if it is there), then `--set`.
 * @throws invalidRequest that names the place and what is wrong
 */
export function loadConfig({ home, file, settings, environment = process.env }: ConfigSources): Config {
  const path = configPath(home, file ?? environment['SKEIN_CONFIG']);
  const fromFile = path === undefined ? {} : readConfigFile(path);
  const merged = settings.reduce<JsonObject>((config, setting) => withSetting(config, setting), fromFile);
  const result = configSchema.safeParse(merged);
  if (result.success) return result.data;
  const [issue] = result.error.issues;
  const place = issue === undefined || issue.path.length === 0 ? 'configuration' : issue.path.join('.');
  const where = path === undefined ? '' : ` (${path})`;
  throw invalidRequest(`${place}: ${issue?.message ?? z.prettifyError(result.error)}${where}`);
}

function configPath(home: string, asked: string | undefined): string | undefined {
  if (asked !== undefined && asked !== '') {
    if (!existsSync(asked)) throw invalidRequest(`there is no configuration file ${asked}`);
    return asked;
  }
  const own = join(daemonFiles(home).folder, 'daemon.config.json');
  return existsSync(own) ? own : undefined;
}

function readConfigFile(path: string): JsonObject {
  let value: unknown;
  try {
    value = JSON.parse(readFileSync(path, 'utf8'));
  } catch (error) {
    throw invalidRequest(`cannot read ${path}: ${messageOf(error)}`);
  }
  if (!isJsonObject(value)) throw invalidRequest(`${path} must hold a JSON object`);
  return value;
}

/** `limits.drainSeconds=5`: the value is JSON if it reads as such, else text. */
function withSetting(config: JsonObject, setting: string): JsonObject {
  const equals = setting.indexOf('=');
  if (equals <= 0) throw invalidRequest(`--set takes key.path=value, not ${setting}`);
  const path = setting.slice(0, equals).split('.');
  return withMember(config, path, jsonOrText(setting.slice(equals + 1)));
}

function withMember(object: JsonObject, path: readonly string[], value: JsonValue): JsonObject {
  const [key = '', ...rest] = path;
  if (key === '__proto__' || key === '') throw invalidRequest(`--set cannot set ${path.join('.')}`);
  if (rest.length === 0) return { ...object, [key]: value };
  const inner = object[key];
  return { ...object, [key]: withMember(isJsonObject(inner) ? inner : {}, rest, value) };
}

function jsonOrText(text: string): JsonValue {
  try {
    return JSON.parse(text) as JsonValue;
  } catch {
    return text;
  }
}
