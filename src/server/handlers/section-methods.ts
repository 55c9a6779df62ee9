import { invalidRequest, SkeinError } from '../../domain/errors.ts';
import { parseThreadId } from '../../domain/ids.ts';
import type { SectionAppearance } from '../../domain/organization.ts';
import { RPC_CODES, RpcError } from '../../protocol/errors.ts';
import {
  sectionCreate,
  sectionDelete,
  sectionList,
  sectionMove,
  sectionUpdate,
} from '../../protocol/params/organization-params.ts';
import { sectionView } from '../../protocol/views.ts';
import { assertNotPinned } from '../../runtime/sections.ts';
import { method, type Method } from '../request.ts';
import { pageSize } from './page-size.ts';

/** Bytes of an icon or a colour. */
const MAX_APPEARANCE_BYTES = 64;

const list = method(sectionList, ({ cursor, limit }, request, { manager }) => {
  // The cursor is the last id of a page. Whatever else is given sorts somewhere, too.
  const after = cursor ?? '';
  const ahead = manager.organization.sections.all.filter(({ id }) => id > after);
  const data = ahead.slice(0, pageSize(limit));
  const nextCursor = data.length < ahead.length ? (data.at(-1)?.id ?? null) : null;
  request.answer({ data: data.map(sectionView), nextCursor });
});

const create = method(sectionCreate, async (params, request, { manager }) => {
  const name = nameOf(params.name);
  const section = await manager.organization.sections.create(name, appearanceOf(params.appearance) ?? null);
  request.answer({ section: sectionView(section) });
});

const update = method(sectionUpdate, async (params, request, { manager }) => {
  const name = nameOf(params.name);
  const { sectionId } = params;
  const section = await asParams(async () => {
    // Said before what is wrong with the rest.
    assertNotPinned(sectionId, 'renamed');
    return manager.organization.sections.rename(sectionId, name, appearanceOf(params.appearance));
  });
  request.answer({ section: sectionView(section) });
});

const remove = method(sectionDelete, async ({ sectionId }, request, { manager }) => {
  await asParams(() => manager.organization.sections.delete(sectionId));
  request.answer({});
});

const move = method(sectionMove, async ({ threadId, sectionId, beforeThreadId }, request, { manager }) => {
  const id = parseThreadId(threadId);
  const before =
    beforeThreadId === null || beforeThreadId === undefined
      ? undefined
      : parseThreadId(beforeThreadId, 'before thread');
  if (before !== undefined && sectionId === null) throw invalidRequest('beforeThreadId requires a non-null sectionId');
  try {
    await manager.moveToSection(id, sectionId, before, () => request.answer({}));
  } catch (error) {
    throw error instanceof SkeinError && error.code === 'notFound' ? invalidRequest(`thread not found: ${id}`) : error;
  }
});

function nameOf(name: string): string {
  const trimmed = name.trim();
  if (trimmed === '') throw new RpcError(RPC_CODES.invalidParams, 'section name must not be empty');
  return trimmed;
}

/** Undefined if none was given. @throws RpcError for one that is too long */
function appearanceOf(
  given: { readonly icon?: string | null | undefined; readonly color?: string | null | undefined } | null | undefined,
): SectionAppearance | null | undefined {
  if (given === null || given === undefined) return given;
  const appearance = { icon: given.icon ?? null, color: given.color ?? null };
  for (const [what, value] of Object.entries(appearance)) {
    if (Buffer.byteLength(value ?? '') <= MAX_APPEARANCE_BYTES) continue;
    const problem = `section appearance ${what} must not exceed ${MAX_APPEARANCE_BYTES} bytes`;
    throw new RpcError(RPC_CODES.invalidParams, problem);
  }
  return appearance;
}

/** What cannot be done with a section is the fault of a parameter. */
async function asParams<T>(work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    const isRefusal = error instanceof SkeinError && error.code === 'invalidRequest';
    throw isRefusal ? new RpcError(RPC_CODES.invalidParams, error.message) : error;
  }
}

/** Methods of sections and of what is in them. */
export const sectionMethods: Readonly<Record<string, Method>> = {
  'threadSection/list': list,
  'threadSection/create': create,
  'threadSection/update': update,
  'threadSection/delete': remove,
  'thread/section/move': move,
};
