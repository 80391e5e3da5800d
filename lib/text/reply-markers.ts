/** Markers that open and close the parts of an answer, as its text has them. */
export const thinkOpen = '<think>';
export const thinkClose = '</think>';
export const callOpen = '<tool_call>';
export const callClose = '</tool_call>';

/** The special tokens that {@link ReplyParser} must see as text. */
export const replyMarkers: readonly string[] = [thinkOpen, thinkClose, callOpen, callClose];
