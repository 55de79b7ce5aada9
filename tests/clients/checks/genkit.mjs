// What Genkit shows.

import { z } from "genkit";
import { ai } from "./recipe.mjs";
import { show, stopped, versionOf, weather } from "./showing.mjs";

const asked = (prompt, more = {}) => ({ model: "agent/demo", prompt, ...more });

await show({
  version: () => versionOf("genkit"),

  plain: async () => (await ai.generate(asked("Hello"))).text,

  streaming: async () => {
    const pieces = [];
    for await (const chunk of ai.generateStream(asked("Hello")).stream) pieces.push(chunk.text);
    return pieces;
  },

  tools: async () => {
    const schema = { inputSchema: z.object({ city: z.string() }), outputSchema: z.string() };
    const tool = ai.defineTool({ name: "weather", description: "The weather of a city", ...schema }, weather);
    return (await ai.generate(asked("What is the weather in Paris?", { tools: [tool] }))).text;
  },

  reasoning: async () => (await ai.generate(asked("[[scenario:reasoning]]"))).reasoning,

  error: async () => {
    let said = "";
    const { stream, response } = ai.generateStream(asked("[[scenario:fail]]"));
    response.catch(() => {});
    try {
      for await (const chunk of stream) said += chunk.text;
    } catch (failed) {
      return [said, failed.message];
    }
  },

  refusal: async () => {
    try {
      await ai.generate(asked("[[scenario:fail_start]]"));
    } catch (failed) {
      return failed.message;
    }
  },

  cancel: async () => {
    let said = "";
    const abort = new AbortController();
    const { stream, response } = ai.generateStream(asked("[[scenario:slow]]", { abortSignal: abort.signal }));
    response.catch(() => {});
    try {
      for await (const chunk of stream) {
        said += chunk.text;
        if (said.includes("am")) abort.abort();
      }
    } catch {
      // that it was aborted
    }
    return await stopped(said);
  },
});
