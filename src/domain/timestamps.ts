/** UTC with milliseconds and `Z`: how lines and headers carry an instant. */
export const formatTimestamp = (epochMs: number): string => new Date(epochMs).toISOString();

const FILE_NAME_FORM = /^(\d{4}-\d{2}-\d{2})T(\d{2})-(\d{2})-(\d{2})$/;

/**
 * Reads an instant in RFC 3339, or in the form of file names, which is taken as UTC
 * (upstream-behaviour 2.3: listing has always read it so). Unix ms, or undefined.
 */
export function parseTimestamp(text: string): number | undefined {
  const fileForm = FILE_NAME_FORM.exec(text);
  const rfc3339 = fileForm === null ? text : `${fileForm[1]}T${fileForm[2]}:${fileForm[3]}:${fileForm[4]}Z`;
  // Without a zone it would be read in the machine's.
  if (!/^\d{4}-\d{2}-\d{2}T.*(?:Z|[+-]\d{2}:\d{2})$/.test(rfc3339)) return undefined;
  const epochMs = Date.parse(rfc3339);
  return Number.isNaN(epochMs) ? undefined : epochMs;
}
