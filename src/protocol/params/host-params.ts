import { z } from 'zod';
import { flag, list, struct, text, u32 } from './serde.ts';

/** Parameters of methods that speak of the daemon's host: account, models, configuration, extensions. */

const page = { cursor: text().nullish(), limit: u32().nullish() };

export const accountRead = struct('GetAccountParams', { refreshToken: flag().optional() });

export const modelList = struct('ModelListParams', { ...page, includeHidden: flag().nullish() });

export const configRead = struct('ConfigReadParams', { includeLayers: flag().optional(), cwd: text().nullish() });

/** Lists by folder: skills, hooks. */
export const listOfFolders = (name: string) => struct(name, { cwds: list(text()).optional() });

/** Whatever has pages and no other parameters that matter here. */
export const paged = (name: string) => struct(name, page);

/** A method that is sent without parameters. */
export const nothing = z.unknown().optional();

/** A method whose parameters, if it has any, say nothing that changes its answer. */
export const anything = z.looseObject({});
