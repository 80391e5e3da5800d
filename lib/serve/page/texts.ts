/** Every text of the page, in English and in Korean. Names in braces are filled in. */
import type { Failure } from './conversation.js';

export type Language = 'en' | 'ko';

const table = {
  newChat: ['New chat', '새 대화'],
  conversation: ['Conversation', '대화'],
  conversations: ['Conversations', '대화 목록'],
  noConversations: ['Your conversations will be listed here.', '나눈 대화가 여기에 나타납니다.'],
  openList: ['Show the conversations', '대화 목록 열기'],
  closeList: ['Hide the conversations', '대화 목록 닫기'],
  search: ['Search', '검색'],
  noMatches: ['Nothing found.', '찾은 내용이 없습니다.'],
  rename: ['Rename', '이름 바꾸기'],
  remove: ['Delete', '삭제'],
  removeTitle: ['Delete this conversation?', '이 대화를 삭제할까요?'],
  removeText: ['“{title}” cannot be brought back.', '‘{title}’ 대화는 되돌릴 수 없습니다.'],
  title: ['Title', '제목'],
  cancel: ['Cancel', '취소'],
  close: ['Close', '닫기'],
  exportAll: ['Export all', '모두 내보내기'],
  importAll: ['Import', '가져오기'],
  imported: ['{count} conversations imported.', '대화 {count}개를 가져왔습니다.'],
  importFailed: ['This file cannot be imported. {message}', '이 파일은 가져올 수 없습니다. {message}'],
  settings: ['Settings', '설정'],
  model: ['Model', '모델'],
  greeting: ['What is on your mind?', '무엇을 도와드릴까요?'],
  greetingText: [
    'The model runs on this server. Conversations stay in this browser.',
    '모델은 이 서버에서 실행되고, 대화는 이 브라우저에만 저장됩니다.',
  ],
  message: ['Message', '메시지'],
  write: ['Write a message', '메시지를 입력하세요'],
  send: ['Send', '보내기'],
  stop: ['Stop', '중지'],
  attach: ['Add text files', '텍스트 파일 추가'],
  dropHere: ['Drop text files here', '여기에 텍스트 파일을 놓으세요'],
  removeFile: ['Remove {name}', '{name} 빼기'],
  notText: ['{name} is not a text file.', '{name}은(는) 텍스트 파일이 아닙니다.'],
  tooLarge: ['{name} is larger than {limit}.', '{name}은(는) {limit}보다 큽니다.'],
  you: ['You', '나'],
  answer: ['Answer', '답변'],
  thinking: ['Thinking', '생각'],
  thinkingNow: ['Thinking…', '생각하는 중…'],
  waiting: ['Reading the conversation…', '대화를 읽는 중…'],
  copy: ['Copy', '복사'],
  copied: ['Copied', '복사됨'],
  copyCode: ['Copy the code', '코드 복사'],
  regenerate: ['Answer again', '다시 답변'],
  edit: ['Edit', '편집'],
  editSend: ['Send again', '다시 보내기'],
  editSave: ['Save as a version', '새 버전으로 저장'],
  editText: ['Edited text', '편집할 내용'],
  previous: ['Previous version', '이전 버전'],
  next: ['Next version', '다음 버전'],
  version: ['Version {index} of {count}', '버전 {index}/{count}'],
  toEnd: ['To the end', '맨 아래로'],
  rate: ['{rate} tokens/s', '초당 {rate}토큰'],
  tokens: ['{count} tokens', '{count}토큰'],
  cached: ['{cached} of {prompt} cached', '캐시 {cached}/{prompt}'],
  drafts: ['{share} % of drafts kept', '초안 {share}% 채택'],
  firstToken: ['first after {time} s', '첫 토큰 {time}초'],
  endEmpty: ['The answer has no text.', '답변에 내용이 없습니다.'],
  endLength: ['The answer ended at the token limit.', '토큰 한도에 도달해 답변이 끝났습니다.'],
  endStopped: ['You stopped this answer.', '답변을 중지했습니다.'],
  endCut: ['The page was closed before the answer ended.', '답변이 끝나기 전에 페이지가 닫혔습니다.'],
  retry: ['Try again', '다시 시도'],
  retryIn: ['Try again in {seconds} s', '{seconds}초 뒤 다시 시도'],
  details: ['The server said: {message}', '서버 메시지: {message}'],
  systemPrompt: ['System prompt', '시스템 프롬프트'],
  systemHint: [
    'Holds for this whole conversation, and new ones begin with it.',
    '이 대화 전체에 적용되며, 새 대화도 이 프롬프트로 시작합니다.',
  ],
  sampling: ['Sampling', '샘플링'],
  samplingHint: ['An empty field takes the server’s default.', '비워 두면 서버의 기본값을 씁니다.'],
  reset: ['Reset', '초기화'],
  outOfRange: ['Allowed: {range}', '허용 범위: {range}'],
  atLeast: ['{least} or more', '{least} 이상'],
  fromTo: ['{least} to {most}', '{least}–{most}'],
  above: ['above {least}, at most {most}', '{least} 초과 {most} 이하'],
  thinkFirst: ['Thinking first', '먼저 생각하기'],
  on: ['On', '켜기'],
  off: ['Off', '끄기'],
  appearance: ['Appearance', '화면'],
  language: ['Language', '언어'],
  theme: ['Colours', '색상'],
  automatic: ['Automatic', '자동'],
  light: ['Light', '밝게'],
  dark: ['Dark', '어둡게'],
  serverDefault: ['default', '기본값'],
  keyTitle: ['This server asks for a key', '이 서버는 키가 필요합니다'],
  keyText: [
    'The key stays in this tab and is forgotten when the tab is closed.',
    '키는 이 탭에만 보관되며 탭을 닫으면 지워집니다.',
  ],
  keyLabel: ['API key', 'API 키'],
  keyWrong: ['The server did not accept this key.', '서버가 이 키를 받아들이지 않았습니다.'],
  keyUse: ['Use the key', '키 사용'],
  notKept: [
    'This browser does not let the page keep conversations. They are gone when the tab is closed: export them first.',
    '이 브라우저에서는 대화를 저장할 수 없습니다. 탭을 닫으면 사라지니 먼저 내보내세요.',
  ],
} as const satisfies Record<string, readonly [string, string]>;

export type TextKey = keyof typeof table;

/** The settings' names and what they do. */
const settingTable: Readonly<Record<string, readonly [label: [string, string], hint: [string, string]]>> = {
  temperature: [
    ['Temperature', '온도'],
    ['0 always takes the likeliest token', '0이면 항상 가장 가능성 높은 토큰'],
  ],
  topK: [
    ['Top-k', 'Top-k'],
    ['keeps the k likeliest tokens; 0 keeps all', '상위 k개 토큰만 사용, 0이면 전부'],
  ],
  topP: [
    ['Top-p', 'Top-p'],
    ['keeps the likeliest that together reach p', '누적 확률이 p에 이를 때까지의 토큰만 사용'],
  ],
  minP: [
    ['Min-p', 'Min-p'],
    ['keeps those at least p times as likely as the best', '최고 확률의 p배 이상인 토큰만 사용'],
  ],
  repeatPenalty: [
    ['Repetition penalty', '반복 페널티'],
    ['makes tokens that were there less likely; 1 is off', '이미 나온 토큰의 확률을 낮춤, 1이면 끔'],
  ],
  presencePenalty: [
    ['Presence penalty', '존재 페널티'],
    ['once for each token of the answer so far', '답변에 나온 토큰마다 한 번'],
  ],
  frequencyPenalty: [
    ['Frequency penalty', '빈도 페널티'],
    ['for every time a token was used', '토큰이 쓰인 횟수만큼'],
  ],
  maxTokens: [
    ['Longest answer', '최대 길이'],
    ['in tokens; empty allows what is left of the context', '토큰 수, 비우면 남은 컨텍스트 전체'],
  ],
  seed: [
    ['Seed', '시드'],
    ['the same seed gives the same answer again', '같은 시드는 같은 답변을 만듦'],
  ],
};

const failureTable: Readonly<Record<Failure, readonly [string, string]>> = {
  unreachable: [
    'The server cannot be reached. Is it running? Nothing you wrote is lost.',
    '서버에 연결할 수 없습니다. 서버가 실행 중인지 확인하세요. 작성한 내용은 그대로 있습니다.',
  ],
  broken: ['The connection broke before the answer ended.', '답변이 끝나기 전에 연결이 끊어졌습니다.'],
  key: ['The server asks for a key.', '서버가 키를 요구합니다.'],
  busy: ['The server cannot answer right now.', '서버가 지금은 답변할 수 없습니다.'],
  context: [
    'The conversation is longer than the model’s context. Begin a new one, or edit an earlier message.',
    '대화가 모델의 컨텍스트보다 깁니다. 새 대화를 시작하거나 앞의 메시지를 편집하세요.',
  ],
  refused: ['The server refused the request.', '서버가 요청을 거부했습니다.'],
  server: ['The server failed.', '서버에서 오류가 났습니다.'],
};

/** The text in the language, with its names filled in. */
export function textOf(
  language: Language,
  key: TextKey,
  values: Readonly<Record<string, string | number>> = {},
): string {
  return fill(table[key][indexOf(language)], values);
}

/** A setting's name and what it does. Null for a setting without texts. */
export function settingTexts(language: Language, name: string): { label: string; hint: string } | null {
  const found = settingTable[name];
  return found ? { label: found[0][indexOf(language)], hint: found[1][indexOf(language)] } : null;
}

/** The words for a failure, without the server's own words. */
export function failureText(language: Language, kind: Failure): string {
  return failureTable[kind][indexOf(language)];
}

/** The language to use, for what was set and what the browser prefers. */
export function languageFor(set: Language | 'auto', preferred: readonly string[]): Language {
  if (set !== 'auto') return set;
  const known = preferred.map((tag) => tag.toLowerCase().split('-')[0]).find((tag) => tag === 'ko' || tag === 'en');
  return known === 'ko' ? 'ko' : 'en';
}

/** Every text by its name, for the tests. */
export const allTexts: readonly (readonly [name: string, english: string, korean: string])[] = [
  ...Object.entries(table).map(([name, [english, korean]]) => [name, english, korean] as const),
  ...Object.entries(failureTable).map(([name, [english, korean]]) => [name, english, korean] as const),
  ...Object.entries(settingTable).flatMap(([name, pairs]) =>
    pairs.map(([english, korean]) => [name, english, korean] as const),
  ),
];

function indexOf(language: Language): 0 | 1 {
  return language === 'en' ? 0 : 1;
}

function fill(text: string, values: Readonly<Record<string, string | number>>): string {
  return text.replace(/\{(\w+)\}/g, (hole, name) => String(values[name] ?? hole));
}
