import { storyOfAHouse } from "../story-of-a-house.ts";

// What needs no power switch. From step 10 on the Pi boots again and again: test/long lives all of it.
storyOfAHouse("The story of a house, until the power is touched", 9);
