// What the official client shows.

import { client } from "./recipe.mjs";
import { show, stopped, versionOf, weather } from "./showing.mjs";

const create = (question, more = {}) =>
  client.chat.completions.create({ model: "demo", messages: [{ role: "user", content: question }], ...more });

await show({
  version: () => versionOf("openai"),

  plain: async () => (await create("Hello")).choices[0].message.content,

  streaming: async () => {
    const pieces = [];
    for await (const chunk of await create("Hello", { stream: true })) pieces.push(chunk.choices[0].delta.content ?? "");
    return pieces;
  },

  tools: async () => {
    const parameters = { type: "object", properties: { city: { type: "string" } }, required: ["city"] };
    const run = { name: "weather", parameters, parse: JSON.parse, function: weather };
    const runner = client.chat.completions.runTools({
      model: "demo",
      messages: [{ role: "user", content: "What is the weather in Paris?" }],
      tools: [{ type: "function", function: run }],
    });
    return await runner.finalContent();
  },

  reasoning: async () => (await create("[[scenario:reasoning]]")).choices[0].message.reasoning_content,

  error: async () => {
    let said = "";
    try {
      for await (const chunk of await create("[[scenario:fail]]", { stream: true }))
        said += chunk.choices[0].delta.content ?? "";
    } catch (failed) {
      return [said, failed.message];
    }
  },

  refusal: async () => {
    try {
      await create("[[scenario:fail_start]]");
    } catch (failed) {
      return failed.message;
    }
  },

  cancel: async () => {
    let said = "";
    for await (const chunk of await create("[[scenario:slow]]", { stream: true })) {
      said += chunk.choices[0].delta.content ?? "";
      if (said.includes("am")) break;
    }
    return await stopped(said);
  },
});
