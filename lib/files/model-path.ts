/** Finds whether a path leads to a folder in Hugging Face form or a GGUF file; else says what to give instead. */
import { readdir, stat } from 'node:fs/promises';
import { basename, dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { KexaError } from '../errors.js';
import { modelPathOf } from './hub-cache.js';
import { fileError, kindOf } from './json-file.js';
import { openRegularFile, readExactly } from './regular-file.js';

export type ModelPath =
  | { kind: 'gguf'; path: string; passedOver: string[] }
  /** A folder in Hugging Face form. */
  | { kind: 'folder'; path: string };

const wanted = 'a model folder or a GGUF file';

/** GGUF files that are beside a model and are none: importance matrices, and vision parts. */
export const beside: RegExp = /(^|[^a-z])(imatrix|mmproj)([^a-z]|$)/i;
/** GGUF files that are the second or a later part of a model. */
export const laterPart: RegExp = /-(?!00001)\d{5}-of-\d{5}\.gguf$/i;

/**
 * Finds the model that a path, a URL of `file:`, or the name of a pulled repository (`hf:org/name`) leads to. With `takesConfigFile`, it may also be the config.json of
 * a folder.
 *
 * @throws KexaError KEXA_INVALID_ARGUMENT for what is no model, or several; KEXA_NOT_FOUND for what is not there;
 *   KEXA_BAD_FILE for a Git LFS pointer, or what cannot be read. The message says what to give.
 */
export async function findModel(given: unknown, takesConfigFile: boolean): Promise<ModelPath> {
  const path = given instanceof URL ? pathOfUrl(given) : given;
  if (typeof path !== 'string' || path === '' || path.includes('\0')) {
    const found = typeof path === 'string' ? JSON.stringify(path) : kindOf(path);
    throw new KexaError('KEXA_INVALID_ARGUMENT', `path: wanted ${wanted}, found ${found}`);
  }
  const absolute = resolve(await modelPathOf(path));
  const found = await stat(absolute).catch((cause: unknown) => {
    const error = fileError(absolute, cause);
    if (error.code !== 'KEXA_NOT_FOUND') throw error;
    throw new KexaError('KEXA_NOT_FOUND', `${absolute}: no such model folder or GGUF file${whereFrom(path)}`, {
      cause,
    });
  });
  if (found.isDirectory()) return await findInFolder(absolute);
  return await findFile(absolute, takesConfigFile);
}

/** The path that a URL of `file:` names. One of another kind stays as it is, to be refused as a text. */
function pathOfUrl(url: URL): string {
  if (url.protocol !== 'file:') return url.href;
  try {
    return fileURLToPath(url);
  } catch (cause) {
    throw new KexaError(
      'KEXA_INVALID_ARGUMENT',
      `path: wanted ${wanted} on this machine, found ${url.href} (${(cause as Error).message})`,
      { cause },
    );
  }
}

/** Whether a file begins as a GGUF file does, whatever its name. */
async function findFile(path: string, takesConfigFile: boolean): Promise<ModelPath> {
  const name = basename(path);
  if (takesConfigFile && name.endsWith('config.json')) return { kind: 'folder', path: dirname(path) };
  const start = await firstBytes(path);
  if (start === 'GGUF' || /\.gguf$/i.test(name)) return { kind: 'gguf', path, passedOver: [] };
  const isPart = /\.(safetensors|json|bin|pt|pth|jinja|md|txt|model)$/i.test(name) || /^(LICENSE|\.git)/.test(name);
  const hint = isPart ? `; give the model's folder, ${dirname(path)}` : ', which does not begin as a GGUF file does';
  throw new KexaError('KEXA_INVALID_ARGUMENT', `path: wanted ${wanted}, found the file ${path}${hint}`);
}

async function firstBytes(path: string): Promise<string> {
  try {
    const { file, size } = await openRegularFile(path);
    try {
      const bytes = Buffer.alloc(Math.min(4, size));
      await readExactly(path, file, 0, bytes);
      return bytes.toString('latin1');
    } finally {
      await file.close();
    }
  } catch (cause) {
    throw fileError(path, cause);
  }
}

async function findInFolder(folder: string): Promise<ModelPath> {
  const names = await readdir(folder).catch((cause: unknown) => {
    throw fileError(folder, cause);
  });
  const all = names.filter((name) => /\.gguf$/i.test(name) && !laterPart.test(name)).sort();
  const passedOver = all.filter((name) => beside.test(name));
  const models = all.filter((name) => !passedOver.includes(name));
  const isFolder = names.includes('config.json');
  // Repositories of GGUF files often have the config.json of the model that they were made of.
  if (models.length === 0 || (isFolder && names.some((name) => /\.safetensors(\.index\.json)?$/.test(name)))) {
    if (!isFolder) throw noModel(folder, names, passedOver);
    return { kind: 'folder', path: folder };
  }
  if (models.length > 1) {
    const example = join(folder, models[0]!);
    throw new KexaError(
      'KEXA_INVALID_ARGUMENT',
      `path: wanted one model, found ${models.join(', ')} in ${folder}; give one of them, as in ${example}`,
    );
  }
  return { kind: 'gguf', path: join(folder, models[0]!), passedOver };
}

function noModel(folder: string, names: readonly string[], passedOver: readonly string[]): KexaError {
  const missing = `${join(folder, 'config.json')}: no such file, and no model in a GGUF file beside it`;
  let hint = '';
  if (passedOver.length > 0) hint = ` (${passedOver.join(', ')} is none)`;
  else if (names.includes('snapshots')) {
    hint = `; a cache folder of Hugging Face: give the folder in it that has the files, ${join(folder, 'snapshots', '...')}`;
  } else if (names.some((name) => name.startsWith('models--'))) {
    hint = `; a cache of Hugging Face: give one model's folder in it, ${join(folder, 'models--...', 'snapshots', '...')}`;
  } else if (names.includes('adapter_config.json')) {
    hint = '; an adapter (LoRA): merge it into its base model, and give the folder of the merged one';
  }
  return new KexaError('KEXA_NOT_FOUND', missing + hint);
}

/** For a path that is not there but looks like a place in the network. */
function whereFrom(path: string): string {
  const [, site] = /^(?:https?:\/\/)?(?:www\.)?(?:huggingface\.co|hf\.co)\/([^/]+\/[^/]+)/.exec(path) ?? [];
  const isUrl = /^[a-z]+:\/\//i.test(path);
  const repository = site ?? (/^[\w.-]+\/[\w.-]+$/.test(path) && !path.startsWith('.') ? path : null);
  if (repository === null) return isUrl ? '; loading downloads nothing: give a folder or file on this machine' : '';
  return (
    `; loading downloads nothing. If this is a model of Hugging Face, bring it with "kexa pull ${repository}", and give ` +
    `hf:${repository}`
  );
}
