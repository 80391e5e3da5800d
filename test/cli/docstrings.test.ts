/** The docstrings of the public interface: everything exported has one with an example, and the examples compile. */
import { join } from 'node:path';
import test from 'tape';
import ts from 'typescript';
import { root } from '../support/cli.js';

const index = join(root, 'lib/index.ts');
const exampleFolder = join(root, 'test/examples-of-docstrings');

/** The names that an example may use without declaring them. */
const parameters = `
  model: Model, session: Session, generation: Generation, tokenizer: Tokenizer,
  ids: number[], messages: Message[], tools: Tool[], signal: AbortSignal`;

interface Documented {
  name: string;
  /** The comment's text. Empty if there is none. */
  text: string;
  examples: string[];
  /** Whether an example is wanted: of exports and their methods, not of a class's properties. */
  isExampleWanted: boolean;
}

function compile(sources: ReadonlyMap<string, string>): ts.Program {
  const { config } = ts.readConfigFile(join(root, 'tsconfig.json'), ts.sys.readFile);
  const { options } = ts.parseJsonConfigFileContent(config, ts.sys, root);
  const settings: ts.CompilerOptions = { ...options, rootDir: root, noEmit: true, paths: { kexa: [index] } };
  const host = ts.createCompilerHost(settings);
  const { getSourceFile, fileExists, readFile } = host;
  host.fileExists = (name) => sources.has(name) || fileExists(name);
  host.readFile = (name) => sources.get(name) ?? readFile(name);
  host.getSourceFile = (name, target, ...others) => {
    const text = sources.get(name);
    return text === undefined
      ? getSourceFile(name, target, ...others)
      : ts.createSourceFile(name, text, target, true, ts.ScriptKind.TS);
  };
  return ts.createProgram([index, ...sources.keys()], settings, host);
}

function documented(name: string, node: ts.Node, isExampleWanted: boolean): Documented {
  const docs = ts.getJSDocCommentsAndTags(node).filter(ts.isJSDoc);
  const examples = ts
    .getJSDocTags(node)
    .filter((tag) => tag.tagName.text === 'example')
    .map((tag) => exampleText(tag.getFullText()));
  const text = docs.map((doc) => ts.getTextOfJSDocComment(doc.comment) ?? '').join('\n');
  return { name, text, examples, isExampleWanted };
}

/** The code of a tag `@example`, without the stars of the comment that it stands in. */
function exampleText(tag: string): string {
  return tag
    .replace(/^\s*@example/, '')
    .replace(/\*\/\s*$/, '')
    .replace(/^[ \t]*\* ?/gm, '')
    .trim();
}

function isInternal(node: ts.Node): boolean {
  return ts.getJSDocTags(node).some((tag) => tag.tagName.text === 'internal');
}

/** Everything that lib/index.ts exports, and the public members of its classes. */
function publicInterface(program: ts.Program): { all: Documented[]; exports: string[]; values: string[] } {
  const checker = program.getTypeChecker();
  const all: Documented[] = [];
  const exports: string[] = [];
  const values: string[] = [];
  for (const exported of checker.getExportsOfModule(checker.getSymbolAtLocation(program.getSourceFile(index)!)!)) {
    const symbol = exported.flags & ts.SymbolFlags.Alias ? checker.getAliasedSymbol(exported) : exported;
    const isTypeOnly = exported.declarations!.some(
      (node) => ts.isExportSpecifier(node) && (node.isTypeOnly || node.parent.parent.isTypeOnly),
    );
    exports.push(exported.name);
    if (!isTypeOnly && symbol.flags & ts.SymbolFlags.Value) values.push(exported.name);
    for (const node of symbol.declarations!) {
      all.push(documented(exported.name, node, true));
      if (!ts.isClassDeclaration(node)) continue;
      for (const member of node.members) {
        const flags = ts.getCombinedModifierFlags(member);
        const isHidden = flags & (ts.ModifierFlags.Private | (isTypeOnly ? ts.ModifierFlags.Static : 0));
        if (isHidden || isInternal(member) || ts.isConstructorDeclaration(member)) continue;
        const name = member.name!.getText();
        // Private by #, named by the language, or inherited from Error.
        if (name.startsWith('#') || name === '[Symbol.toStringTag]' || name === '[Symbol.asyncDispose]') continue;
        if (flags & ts.ModifierFlags.Override) continue;
        all.push(documented(`${exported.name}.${name}`, member, !ts.isPropertyDeclaration(member)));
      }
    }
  }
  return { all, exports, values };
}

const found = publicInterface(compile(new Map()));

function sourceOf(example: string): string {
  const types = found.exports.filter((name) => !found.values.includes(name));
  return `import { ${found.values.join(', ')} } from 'kexa';
import type { ${types.join(', ')} } from 'kexa';
export async function example(${parameters}): Promise<void> { {
${example}
} }
`;
}

/** The faults of examples by the compiler: their names, lines and messages. */
function faultsOf(examples: readonly { name: string; code: string }[]): string[] {
  const sources = new Map(examples.map(({ code }, i) => [join(exampleFolder, `${i}.ts`), sourceOf(code)]));
  const program = compile(sources);
  return [...sources.keys()].flatMap((path, i) => {
    const file = program.getSourceFile(path)!;
    return [...program.getSyntacticDiagnostics(file), ...program.getSemanticDiagnostics(file)].map((diagnostic) => {
      const line = file.getLineAndCharacterOfPosition(diagnostic.start ?? 0).line - 2;
      return `${examples[i]!.name}: line ${line}: ${ts.flattenDiagnosticMessageText(diagnostic.messageText, ' ')}`;
    });
  });
}

test('every export, and every public member of a class, has a docstring; exports and methods have an example', (t) => {
  t.ok(found.exports.length >= 60, `${found.exports.length} exports`);
  t.ok(found.values.includes('loadModel') && !found.values.includes('Session'), 'values and types are told apart');
  t.ok(
    found.all.some(({ name }) => name === 'Session.rewind'),
    'methods are looked at',
  );
  t.deepEqual(
    found.all.filter(({ text }) => text.trim() === '').map(({ name }) => name),
    [],
    'without a docstring',
  );
  t.deepEqual(
    found.all
      .filter(({ isExampleWanted, examples }) => isExampleWanted && examples.every((text) => text === ''))
      .map(({ name }) => name),
    [],
    'without an example',
  );
  t.end();
});

test('the examples of docstrings compile', (t) => {
  const examples = found.all.flatMap(({ name, examples }) => examples.map((code) => ({ name, code })));
  t.comment(`${examples.length} examples of ${found.all.length} exports and members`);
  const broken = [
    { name: 'an unknown option', code: "await loadModel('models/tiny', { contextSise: 1 });" },
    { name: 'an unknown name', code: 'console.log(nothing);' },
    { name: 'no code', code: 'await (' },
  ];
  const faults = faultsOf([...examples, ...broken]);
  const isMeant = (fault: string) => broken.some(({ name }) => fault.startsWith(name));
  t.deepEqual(
    faults.filter((fault) => !isMeant(fault)),
    [],
  );
  for (const { name } of broken)
    t.ok(
      faults.some((fault) => fault.startsWith(name)),
      `${name} is found`,
    );
  t.end();
});
