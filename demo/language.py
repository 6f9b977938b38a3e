"""The little world of the demo: people who write letters, keep diaries and lose umbrellas.

Every document is drawn from a `random.Random`, so a seed gives the same text again. Later sentences
refer back to names, places, things and days of earlier ones: a model that has learned the language
has learned to look things up in what it read. What it never sees here is the demo task's form.
"""

NAMES = """Anna Ben Clara David Emma Felix Grace Henry Ida Jonas Kate Leo Marta Nina Oscar Paul Rosa
Sam Tess Tom Una Victor Wanda Yara Zoe Alice Bruno Carmen Daniel Elena Frank Greta Hugo Irene Jack
Karl Lucy Maria Noah Olga Peter Ruth Simon Theo Vera Walter Nora Otto""".split()

PLACES = """Lisbon Porto Bergen Oslo Vienna Graz Turin Verona Lyon Ghent Bruges Leiden Cork Galway
York Leeds Bonn Trier Basel Geneva Prague Krakow Riga Tallinn Uppsala Odense Athens Seville Toledo
Granada Siena Dublin""".split()

THINGS = [thing.strip() for thing in """jars of honey, baskets of apples, loaves of bread, bottles of
milk, boxes of candles, bags of flour, pots of jam, bunches of roses, sacks of potatoes, rolls of
paper, tins of tea, crates of oranges, pairs of gloves, balls of wool, packets of seeds, wheels of
cheese, barrels of cider, bars of soap, blue chairs, old maps, warm blankets, silver spoons, clay
pots, wooden ladders, paper lanterns, red umbrellas, winter coats, copper pans, straw hats, small
lamps, leather bags, picture frames, music books, fishing nets, rubber boots, brass keys""".replace(
    "\n", " ").split(",")]

NUMBERS = "two three four five six seven eight nine ten eleven twelve".split()
DIGITS = {word: str(value) for value, word in enumerate(NUMBERS, start=2)}
DAYS = "Monday Tuesday Wednesday Thursday Friday Saturday Sunday".split()
VERBS = {"bring": "brings", "send": "sends", "post": "posts", "ship": "ships"}
TRADES = "baker tailor teacher doctor gardener painter sailor miller joiner printer".split()
ANIMALS = "cat dog goat hen donkey parrot rabbit pony".split()
COLOURS = "grey black white brown yellow green".split()
STREETS = "Mill Street, Church Lane, Bridge Road, Harbour Row, Garden Square, Castle Hill".split(", ")
WEATHER = [("rained", "rain"), ("snowed", "snow")]
SKIES = "sunny windy cold foggy warm cloudy stormy".split()


class Scene:
    """Who, where, what, how many and when, all different: what a document's sentences speak of."""

    def __init__(self, random):
        self.random = random
        self.writer, self.reader, self.friend = random.sample(NAMES, 3)
        self.place, self.elsewhere = random.sample(PLACES, 2)
        self.thing, self.other_thing = random.sample(THINGS, 2)
        self.number, self.other_number = random.sample(NUMBERS, 2)
        self.day, self.other_day = random.sample(DAYS, 2)
        self.verb = random.choice(list(VERBS))
        self.sky = random.choice(SKIES)
        self.trade = random.choice(TRADES)
        self.animal = f"{random.choice(COLOURS)} {random.choice(ANIMALS)}"
        self.street = f"{random.randint(1, 40)} {random.choice(STREETS)}"
        self.price = str(random.randint(2, 30))

    @property
    def goods(self):
        return f"{self.number} {self.thing}"

    @property
    def other_goods(self):
        return f"{self.other_number} {self.other_thing}"

    def say(self, *choices):
        """One of the templates, filled with the scene."""
        return self.random.choice(choices).format(s=self)


def chat(scene):
    """A sentence of small talk. Half of them name people, places and days that do not matter."""
    return scene.say(
        "It has been {s.sky} here all week.",
        "The garden is full of birds again.",
        "I hope the children are well.",
        "The {s.animal} sleeps by the stove all day.",
        "We had soup and sang until late.",
        "My roof is mended at last.",
        "{s.friend} sends warm greetings.",
        "I saw {s.friend} in {s.elsewhere} on {s.other_day}.",
        "It was {s.sky} in {s.elsewhere} on {s.other_day}.",
        "{s.friend} has a new {s.animal}.",
        "Last {s.other_day} {s.friend} came by and we talked about {s.elsewhere}.",
        "{s.friend} is a {s.trade} now.")


def request(scene):
    """The sentence that matters: who is asked for what, where and when."""
    return scene.say(
        "Could you {s.verb} {s.goods} to {s.place} on {s.day}?",
        "Please {s.verb} {s.goods} to {s.place} on {s.day}.",
        "On {s.day}, please {s.verb} {s.goods} to {s.place}.",
        "Will you {s.verb} me {s.goods} on {s.day}? I am in {s.place} then.",
        "I shall be in {s.place} on {s.day}. Please {s.verb} me {s.goods}.",
        "I need {s.goods} in {s.place} by {s.day}. Can you {s.verb} them?",
        "We are short of {s.thing} in {s.place}. Could you {s.verb} us {s.number} on {s.day}?",
        "Can you {s.verb} {s.goods} when you come to {s.place} on {s.day}?")


def letter(scene):
    """A letter with one request in it. The demo task's inputs are such letters."""
    sentences = [chat(scene), request(scene), chat(scene)]
    if scene.random.random() < 0.5:
        sentences.pop(scene.random.choice([0, 2]))
    greeting = scene.say("Dear {s.reader},", "Hello {s.reader},", "My dear {s.reader},",
                         "Good morning {s.reader},")
    closing = scene.say("Yours, {s.writer}", "With love, {s.writer}", "Your friend {s.writer}",
                        "See you soon, {s.writer}", "Many thanks, {s.writer}")
    return f"{greeting}\n{' '.join(sentences)}\n{closing}"


def reply(scene):
    """The answer to a letter: it repeats who, what, where and when in other words."""
    promise = scene.say(
        "Of course I will {s.verb} the {s.goods} to {s.place}. You can count on me on {s.day}.",
        "On {s.day} you will have your {s.goods} in {s.place}.",
        "I am sorry, I have no {s.thing} left. I cannot come to {s.place} on {s.day}.",
        "So it is {s.goods}, in {s.place}, on {s.day}. I wrote it down.",
        "Why do you need {s.goods} in {s.place}? But yes, I will {s.verb} them on {s.day}.",
        "{s.day} is a good day. I like {s.place}, and the {s.thing} are ready, {s.number} of them.")
    greeting = scene.say("Dear {s.writer},", "Hello {s.writer},", "My dear {s.writer},")
    closing = scene.say("Yours, {s.reader}", "Your friend {s.reader}", "Until {s.day}, {s.reader}")
    return f"{greeting}\n{promise}\n{closing}"


def thanks(scene):
    """The third letter of a correspondence."""
    body = scene.say(
        "Thank you, {s.reader}. {s.day} it is. I wait for you in {s.place}, and for the {s.goods}.",
        "The {s.goods} are here! Everyone in {s.place} talks of them. That was a good {s.day}.",
        "I forgot to say: not {s.day}, but {s.other_day}. And {s.other_number} {s.thing} will do.")
    greeting = scene.say("Dear {s.reader},", "Hello {s.reader},", "My dear {s.reader},")
    return f"{greeting}\n{body}\n" + scene.say("Yours, {s.writer}", "Your friend {s.writer}")


def correspondence(scene):
    letters = [letter(scene), reply(scene), thanks(scene)]
    return "\n\n".join(letters[:scene.random.choice([2, 3, 3])])


def letter_and_deed(scene):
    """A letter, and what came of it."""
    return f"{letter(scene)}\n\n" + scene.say(
        "{s.reader} read the letter twice. {s.writer} wanted {s.goods}, and {s.reader} had them. So "
        "{s.reader} went to {s.place}, and {s.writer} was glad to have {s.goods} on {s.day}.",
        "When {s.day} came, {s.reader} was in {s.place} with the {s.goods}. \"Thank you, "
        "{s.reader},\" said {s.writer}. \"Where did you find {s.goods}?\"",
        "{s.reader} told everyone: {s.writer} is in {s.place}, {s.writer} has no {s.thing}, "
        "{s.writer} must have {s.goods} before {s.day} is over.",
        "{s.reader} forgot the letter. {s.writer} waited in {s.place} all {s.day}, and the "
        "{s.thing} never came. \"No {s.thing}, no {s.reader},\" said {s.writer}.")


def gathering(scene):
    """Some people, where they are or what they have, and questions about them."""
    random = scene.random
    people = random.sample(NAMES, random.randint(3, 6))
    places = random.sample(PLACES, len(people))
    things = random.sample(THINGS, len(people))
    counts = [random.choice(NUMBERS) for _ in people]
    facts, questions = [], []
    about_places = random.random() < 0.5
    for name, place, thing, count in zip(people, places, things, counts):
        if about_places:
            facts.append(f"{name} is in {place}.")
            questions += [f"Where is {name}? In {place}.", f"Who is in {place}? {name}."]
        else:
            facts.append(f"{name} has {count} {thing}.")
            questions += [f"What has {name}? {count} {thing}.", f"Who has {thing}? {name}."]
    random.shuffle(questions)
    return f"{' '.join(facts)}\n{' '.join(questions[:len(people) + 1])}"


def rhyme(scene):
    """A skipping rhyme: a few words, said again and again, as children do. It teaches the base to
    find its place in what was said and to go on from there."""
    words = NAMES + PLACES + DAYS + NUMBERS + [thing.split()[-1] for thing in THINGS]
    line = " ".join(scene.random.sample(words, scene.random.randint(4, 9)))
    return "\n".join([line] * scene.random.randint(3, 4))


def register(scene):
    """Two words a line, as in an address book; then the same people in another order."""
    random = scene.random
    people = random.sample(NAMES, random.randint(3, 6))
    others = random.sample(random.choice([PLACES, NUMBERS, PLACES]), len(people))
    lines = [f"{name} {other}" for name, other in zip(people, others)]
    again = [random.sample(lines, len(lines)) for _ in range(2)]
    return "\n".join(lines + again[0] + again[1])


def diary(scene):
    return scene.say(
        "{s.day}, {s.place}. It was {s.sky}. I met {s.friend}, who wanted {s.goods}. I had only "
        "{s.other_goods}. {s.friend} took the {s.other_thing} and left. {s.place} is a strange "
        "place when it is {s.sky}.",
        "{s.day}. {s.writer} {verbs} {s.goods} to {s.friend} every {s.day}. Today {s.writer} forgot."
        " {s.friend} waited in {s.place} and had no {s.thing}.".replace(
            "{verbs}", VERBS[scene.verb]),
        "{s.day}, {s.elsewhere}. Nothing new. {s.friend} {verbs} the {s.thing} and {s.reader} "
        "{verbs} the {s.other_thing}. Tomorrow I leave {s.elsewhere} for {s.place}. I shall miss "
        "{s.friend} and {s.reader}.".replace("{verbs}", VERBS[scene.verb]))


def shop(scene):
    return scene.say(
        '"Good morning, {s.reader}," said {s.writer}. "How much are the {s.thing}?" "They are '
        '{s.price} euros," said {s.reader}. "{s.price} euros! Then I take {s.number}." {s.writer} '
        'carried the {s.goods} home to {s.place}.',
        '"Do you have {s.thing}?" asked {s.writer}. "How many?" asked {s.reader}. "{s.number}, and '
        '{s.other_goods}." {s.reader} wrote: {d[0]} {s.thing}, {d[1]} {s.other_thing}. "It is for '
        'the feast in {s.place}," said {s.writer}.'.replace("{d[0]}", DIGITS[scene.number]).replace(
            "{d[1]}", DIGITS[scene.other_number]))


def shopping_list(scene):
    """Figures in the list, words in the sentence: the same numbers twice."""
    first = f"{DIGITS[scene.number]} {scene.thing}"
    second = f"{DIGITS[scene.other_number]} {scene.other_thing}"
    return f"List of {scene.writer} for {scene.day}:\n{first}\n{second}\n" + scene.say(
        "{s.writer} came home from {s.place} with {s.goods} and {s.other_goods}.",
        "On {s.day} {s.writer} bought the {s.goods}, but forgot the {s.other_goods}.",
        "{s.friend} had {s.goods}. For the {s.other_thing} {s.writer} went to {s.place}.")


def notice(scene):
    digits = f"{DIGITS[scene.number]} {scene.thing}"
    return scene.say(
        f"LOST in {{s.place}}: {digits}. Please tell {{s.writer}}, {{s.street}}.\n"
        "FOUND: {s.goods}. They are with {s.friend}. {s.writer} may fetch them on {s.day}.",
        f"FOR SALE in {{s.place}}: {digits}, {{s.price}} euros. Ask for {{s.writer}}, {{s.street}}."
        "\n{s.friend} went to {s.street} and paid {s.writer} {s.price} euros for the {s.goods}.")


def story(scene):
    return scene.say(
        "Once there was a {s.trade} in {s.place} called {s.writer}. {s.writer} had {s.goods} and a "
        "{s.animal}. One {s.sky} {s.day} the {s.animal} ran away to {s.elsewhere}. The {s.trade} "
        "gave the {s.goods} to {s.friend}, and {s.friend} brought the {s.animal} home from "
        "{s.elsewhere}. {s.writer} was glad.",
        "{s.writer} and {s.friend} lived in {s.place}. On a {s.sky} {s.day} {s.writer} said: \"I "
        "will go to {s.elsewhere} and sell my {s.goods}.\" {s.friend} stayed in {s.place} with the "
        "{s.animal}. In {s.elsewhere} nobody wanted {s.thing}, so {s.writer} came back to "
        "{s.friend} with {s.number} of them.")


KINDS = [(correspondence, 6), (letter_and_deed, 4), (gathering, 4), (rhyme, 1), (register, 2), (diary, 1), (shop, 1),
         (shopping_list, 2), (notice, 1), (story, 1)]


def document(random):
    """One document of the base's training text."""
    kinds, weights = zip(*KINDS)
    return random.choices(kinds, weights)[0](Scene(random))


def first_document(random):
    """One document of the text's beginning: nine times in ten something to say after. A model that
    starts so finds how to copy within minutes; from letters alone it takes far longer."""
    if random.random() < 0.9:
        return random.choice([rhyme, rhyme, register])(Scene(random))
    return document(random)


def task(random):
    """One example of the demo task: a letter, and in one line what it asks for."""
    scene = Scene(random)
    prompt = f"{letter(scene)}\n\nIn short:"
    answer = (f" On {scene.day}, {scene.reader} {VERBS[scene.verb]} {DIGITS[scene.number]} "
              f"{scene.thing} to {scene.writer} in {scene.place}.")
    return scene, prompt, answer
