// Made by Tests/Fixtures/tokenizers/unicode_tables.py from the reference library (0.23.3): do
// not edit. Numbers are in base 36.

/// Unicode as the reference library sees it; see `UnicodeTables`.
enum UnicodeData {
  /// General categories (regular expressions): run length and letter.
  static let categories = """
    wZ1W3R1T3R1N1O1R1S1R1M2RaI2R3S2RqA1N1R1O1U1L1UqB1N1S1O1SxZ1W1R4T1V1R1U1V1E1P1S1!1V1U1V1S2K1U\
    1B2R1U1K1E1Q3K1RnA1S7AoB1S8B1A1B1A1B1A1B1A1B1A1B1A1B1A1B1A1B1A1B1A1B1A1B1A1B1A1B1A1B1A1B1A1B\
    1A1B1A1B1A1B1A1B1A1B1A1B1A1B1A1B1A1B1A1B1A1B1A2B1A1B1A1B1A1B1A1B1A1B1A1B1A1B1A2B1A1B1A1B1A1B\
    1A1B1A1B1A1B1A1B1A1B1A1B1A1B1A1B1A1B1A1B1A1B1A1B1A1B1A1B1A1B1A1B1A1B1A1B1A1B1A1B2A1B1A1B1A3B\
    2A1B1A1B2A1B3A2B4A1B2A1B3A3B2A1B2A1B1A1B1A1B2A1B1A2B1A1B2A1B3A1B1A1B2A2B1E1A3B4E1A1C1B1A1C1B\
    1A1C1B1A1B1A1B1A1B1A1B1A1B1A1B1A1B1A2B1A1B1A1B1A1B1A1B1A1B1A1B1A1B1A1B1A2B1A1C1B1A1B3A1B1A1B\
    1A1B1A1B1A1B1A1B1A1B1A1B1A1B1A1B1A1B1A1B1A1B1A1B1A1B1A1B1A1B1A1B1A1B1A1B1A1B1A1B1A1B1A1B1A1B\
    1A1B1A1B1A1B1A1B1A7B2A1B2A2B1A1B4A1B1A1B1A1B1A1B1A1xB1ErBiD4UcDeU5D7U1D1U1DhU34F1A1B1A1B1D1U\
    1A1B2%1D3B1R1A4%2U1A1R3A1%1A1%2A1BhA1%9AzB1A2B3A3B1A1B1A1B1A1B1A1B1A1B1A1B1A1B1A1B1A1B1A1B1A\
    1B1A5B1A1B1S1A1B2A2B1fA1cB1A1B1A1B1A1B1A1B1A1B1A1B1A1B1A1B1A1B1A1B1A1B1A1B1A1B1A1B1A1B1A1B1A\
    1B1V5F2H1A1B1A1B1A1B1A1B1A1B1A1B1A1B1A1B1A1B1A1B1A1B1A1B1A1B1A1B1A1B1A1B1A1B1A1B1A1B1A1B1A1B\
    1A1B1A1B1A1B1A1B1A1B1A1B2A1B1A1B1A1B1A1B1A1B1A1B1A2B1A1B1A1B1A1B1A1B1A1B1A1B1A1B1A1B1A1B1A1B\
    1A1B1A1B1A1B1A1B1A1B1A1B1A1B1A1B1A1B1A1B1A1B1A1B1A1B1A1B1A1B1A1B1A1B1A1B1A1B1A1B1A1B1A1B1A1B\
    1A1B1A1B1A1B1A1B1A1B1A1B1A1B1A1B1A1B1A1B1A1B1A1B1A1B1A1B1A1B1%12A2%1D6R15B1R1M2%2V1T1%19F1M1\
    F1R2F1R2F1R1F8%rE4%4E2Rb%6!3S2R1T2R2VbF1R1!3RwE1DaElFaI4R2E1F2rE1R1E7F1!1V6F2D2F1V4F2EaI3E2V\
    1EeR1%1!1E1FuErF2%2hEbF1Ee%aIxE9F2D1V3R1D2%1F2TmE4F1D9F1D3F1D5F2%fR1%pE3F2%1R1%bE5%oE1U6E1%2\
    !5%9F15E1DoF1!wF1G1iE1F1G1F1E3G8F4G1F2G1E7FaE2F2RaI1R1DfE1F2G1%8E2%2E2%mE1%7E1%1E3%4E2%1F1E3\
    G4F2%2G2%2G1F1E8%1G4%2E1%3E2F2%aI2E2T6K1V1T1E1R1F2%2F1G1%6E4%2E2%mE1%7E1%2E1%2E1%2E2%1F1%3G2\
    F4%2F2%3F3%1F7%4E1%1E7%aI2F3E1F1Ra%2F1G1%9E1%3E1%mE1%7E1%2E1%5E2%1F1E3G5F1%2F1G1%2G1F2%1Ef%2\
    E2F2%aI1R1T7%1E6F1%1F2G1%8E2%2E2%mE1%7E1%2E1%5E2%1F1E1G1F1G4F2%2G2%2G1F7%2F1G4%2E1%3E2F2%aI1\
    V1E6Ka%1F1E1%6E3%3E1%4E3%2E1%1E1%2E3%2E3%3E3%cE4%2G1F2G3%3G1%3G1F2%1E6%1Ge%aI3K6V1T1V5%1F3G1\
    F8E1%3E1%nE1%gE2%1F1E3F4G1%3F1%4F7%2F1%3E2%1E2%2E2F2%aI7%1R7K1V1E1F2G1R8E1%3E1%nE1%aE1%5E2%1\
    F1E1G1F5G1%1F2G1%2G2F7%2G6%2E1%2E2F2%aI1%2E1Gc%2F2G9E1%3E1%15E2F1E3G4F1%3G1%3G1F1E1V4%3E1G7K\
    3E2F2%aI9K1V6E1%1F2G1%iE3%oE1%9E1%1E2%7E3%1F4%3G3F1%1F1%8G6%aI2%2G1Rc%1cE1F2E7F4%1T6E1D8F1Ra\
    I2R11%2E1%1E1%5E1%oE1%1E1%aE1F2E9F1E2%5E1%1D1%7F1%aI2%4Ew%1E3VfR1V1R3V2F6VaIaK1V1F1V1F1V1F1N\
    1O1N1O2G8E1%10E4%eF1G5F1R2F5EbF1%10F1%8V1F6V1%2V5R4V2R11%17E2G4F1G6F1G2F2G2F1EaI6R6E2G2F4E3F\
    1E3G2E7G3E4FdE1F2G2F6G1F1E1GaI3G1F2V12A1%1A5%1A2%17B1R1D3B95E1%4E2%7E1%1E1%4E2%15E1%4E2%xE1%\
    4E2%7E1%1E1%4E2%fE1%1lE1%4E2%1vE2%3F9RkK3%gEaV6%2eA2%6B2%1Mh8E1V1RhE1WqE1N1O3%23E3R3J8E7%iE3\
    F1G9%jE2F1G2R9%iE2Fc%dE1%3E1%2Fc%1gE2F1G7F8G1F2GbF3R1D3R1T1E1F2%aI6%aK6%6R1M4R3F1!1FaI6%zE1D\
    1hE7%5E2FyE1F1E5%1yEa%vE1%3F4G2F3G4%2G1F6G3F4%1V3%2RaIuE2%5Eb%18E4%qE6%aI1K3%yVnE2F2G1F2%2R1\
    hE1G1F1G7F1%1F1G1F2G8F6GaF2%1FaI6%aI6%7R1D6R2%eF1HgF1d%4F1G1bE1F1G5F1G1F5G1F2G8E1%2RaI7RaV9F\
    9V3R2F1GuE1G4F2G2F1G3F2EaI18E1F1G2F3G1F1G3F2G8%4R10E8G8F2G2F3%5RaI3%3EaIuE6D2R9B1A1B5%17A2%3\
    A8R8%3F1RdF1G7F4E1F6E1F2E1G2F1E5%18B1rDdB1DyB11D1sF1A1B1A1B1A1B1A1B1A1B1A1B1A1B1A1B1A1B1A1B1\
    A1B1A1B1A1B1A1B1A1B1A1B1A1B1A1B1A1B1A1B1A1B1A1B1A1B1A1B1A1B1A1B1A1B1A1B1A1B1A1B1A1B1A1B1A1B1\
    A1B1A1B1A1B1A1B1A1B1A1B1A1B1A1B1A1B1A1B1A1B1A1B1A1B1A1B1A1B1A1B1A1B1A1B1A1B1A1B1A1B1A1B1A1B1\
    A1B1A1B1A1B1A1B1A1B1A1B1A1B1A1B1A1B1A1B1A1B1A1B1A1B1A1B1A1B1A1B1A1B1A1B1A9B1A1B1A1B1A1B1A1B1\
    A1B1A1B1A1B1A1B1A1B1A1B1A1B1A1B1A1B1A1B1A1B1A1B1A1B1A1B1A1B1A1B1A1B1A1B1A1B1A1B1A1B1A1B1A1B1\
    A1B1A1B1A1B1A1B1A1B1A1B1A1B1A1B1A1B1A1B1A1B1A1B1A1B1A1B1A1B1A1B1A1B1A1B1A1B1A1B1A1B1A9B8A6B2\
    %6A2%8B8A8B8A6B2%6A2%8B1%1A1%1A1%1A1%1A8B8AeB2%8B8C8B8C8B8C5B1%2B4A1C1U1B3U3B1%2B4A1C3U4B2%2\
    B4A1%3U8B5A3U2%3B1%2B4A1C2U1%bW5!6M2R1P1Q1N2P1Q1N1P8R1X1Y5!1W9R1P1Q4R2L3R1S1N1ObR1S1R1LaR1W5\
    !1%a!1K1D2%6K3S1N1O1DaK3S1N1O1%dD3%xTf%dF4H1F3HcFf%2V1A4V1A2V1B3A2B3A1B1V1A2V1S5A6V1A1V1A1V1\
    A1V4A1V1B4A1B4E1B2V2B2A5S1A4B1V1S2V1B1VgKzJ1A1B4J1K2V4%5S5V2S4V1S2V1S2V1S7V1SvV2S2V1S1V1SvV7\
    gS8V1N1O1N1OkV2S7V1N1O29V1SuVpS14V6S20Vm%bVl%1oK26VmK53V1S9V1S1iV8S33V1S6wV1N1O1N1O1N1O1N1O1\
    N1O1N1O1N1OuK18V5S1N1OvS1N1O1N1O1N1O1N1O1N1OgS74V3nS1N1O1N1O1N1O1N1O1N1O1N1O1N1O1N1O1N1O1N1O\
    1N1O1rS1N1O1N1OwS1N1O76S1cVlS2V6S13V2%wV1%2xV1cA1cB1A1B3A2B1A1B1A1B1A1B4A1B1A2B1A6B2D3A1B1A1\
    B1A1B1A1B1A1B1A1B1A1B1A1B1A1B1A1B1A1B1A1B1A1B1A1B1A1B1A1B1A1B1A1B1A1B1A1B1A1B1A1B1A1B1A1B1A1\
    B1A1B1A1B1A1B1A1B1A1B1A1B1A1B1A1B1A1B1A1B1A1B1A1B1A1B1A1B1A1B1A1B1A1B1A1B1A1B1A1B1A1B1A1B1A1\
    B1A1B1A2B6V1A1B1A1B3F1A1B5%4R1K2R12B1%1B5%1B2%1kE7%1D1Re%1FnE9%7E1%7E1%7E1%7E1%7E1%7E1%7E1%7\
    E1%wF2R1P1Q1P1Q3R1P1Q1R1P1Q9R1M2R1M1R1P1Q2R1P1Q1N1O1N1O1N1O1N1O5R1DaR2M4R1M1R1NdR2V3R1N1O1N1\
    O1N1O1N1O1My%qV1%2hVc%5yVq%gV1W3R1V1D1E1J1N1O1N1O1N1O1N1O1N1O2V1N1O1N1O1N1O1N1O1M1N2O1V9J4F2\
    G1M5D2V3J1D1E1R2V1%2eE2%2F2U2D1E1M2iE1R3D1E5%17E1%2mE1%2V4KaVwE12V9%1VgEvV1%aKuV8K1VfKwVaK13\
    VfK8wV534E1sVg7pE1DvrE3%1jV9%14E6D2R7gE1D3RgEaI2Ek%1A1B1A1B1A1B1A1B1A1B1A1B1A1B1A1B1A1B1A1B1\
    A1B1A1B1A1B1A1B1A1B1A1B1A1B1A1B1A1B1A1B1A1B1A1B1A1B1E1F3H1RaF1R1D1A1B1A1B1A1B1A1B1A1B1A1B1A1\
    B1A1B1A1B1A1B1A1B1A1B1A1B1A1B2D2F1yEaJ2F6R8%nU9D2U1A1B1A1B1A1B1A1B1A1B1A1B1A3B1A1B1A1B1A1B1A\
    1B1A1B1A1B1A1B1A1B1A1B1A1B1A1B1A1B1A1B1A1B1A1B1A1B1A1B1A1B1A1B1A1B1A1B1A1B1A1B1A1B1A1B1A1B1A\
    1B1A1B1A1B1A1B1A1B1D8B1A1B1A1B2A1B1A1B1A1B1A1B1A1B1D2U1A1B1A1B1E1A1B1A3B1A1B1A1B1A1B1A1B1A1B\
    1A1B1A1B1A1B1A1B1A1B5A1B5A1B1A1B1A1B1A1B1A1B1A1B1A1B1A1B4A1B1A1B2A1B2%1A1B1%1B1%1B1A1B1A1B1A\
    1B1Al%3D1A1B1E2D1B7E1F3E1F4E1FnE2G2F1G4V1F3%6K2V1T1V6%1gE4R8%2G1eEgG2F8%2RaI6%iF6E3R1E1R2E1F\
    aIsE8F2RnEbF2Gb%1RtE3%3F1G1bE1F2G4F2G2F3GdR1%1DaI4%2R5E1F1D9EaI5E1%15E6F2G2F2G2F9%3E1F8E1F1G\
    2%aI2%4RgE1D6E3V1E1G1F1G1eE1F1E3F2E2F5E2F1E1F1Eo%2E1D2RbE1G2F2G2R1E2D1G1Fa%6E2%6E2%6E9%7E1%7\
    E1%17B1U4D9B1D2U4%28BzE2G1F2G1F2G1R1G1F2%aI6%8mcEc%nE4%1dE4%6io#a6E2%2yE12%7Bc%5B5%1E1FaE1Sd\
    E1%5E1%1E1%2E1%2E1%30EhUg%a3E1O1NgV1sE2%1iE7%1Vw%cE1T3VgF7R1N1O1R6%gF1R2M2L1N1O1N1O1N1O1N1O1\
    N1O1N1O1N1O1N1O2R1N1O4R3L3R1%4R1M1N1O1N1O1N1O3R1S1M3S1%1R1T2R4%5E1%3rE2%1!1%3R1T3R1N1O1R1S1R\
    1M2RaI2R3S2RqA1N1R1O1U1L1UqB1N1S1O1S1N1O1R1N1O2RaE1D19E2DvE3%6E2%6E2%6E2%3E3%2T1S1U1V2T1%1V4\
    S2Va%3!2V2%cE1%qE1%jE1%2E1%fE2%eEy%3fE5%3R4%19K3%9V1hJ4KhV2K3V1%dV3%1V1b%19V1F3m%tE3%1dEf%1F\
    rK4%wE4K9%kE1J8E1J5%12E5F5%uE1%1R10E4%8E1R5J16%14A14B26E2%aI6%10A4%10B4%14E8%1gEb%1RbA1%fA1%\
    7A1%2A1%bB1%fB1%7B1%2B3%1gEc%8nE9%mEa%8Eo%6D1%16D1%9D1x%6E2%1E1%18E1%2E3%1E2%nE1%1R8KnE2V7Kv\
    E8%9K1c%jE1%2E5%5KmE6K3%1RqE5%1R1s%1kE4%2K2EgK2%1aK1E3F1%2F5%4F4E1%3E1%tE2%3F4%1F9K7%9R7%tE2\
    K1RtE3Kw%8E1VsE2F4%5K7R9%1iE3%7RmE2%8KjE5%8KiE7%4Rc%7K28%21E1j%1fAd%1fB7%6K10E4F8%aI6%aI4E1D\
    1EmA3%5F1M1DmB8%2S5s%vK1%16E1%2F1M2%2Eg%3E1j%4FtEaK1E8%mEbF4K5Rm%iE4F4R12%lE7Kk%nE9%1G1F1G1h\
    EfF7R4%kKaI1F2E2F1E9%3F1G19E3G4F2G2F2R1!4R1Fa%1!2%pE7%aI6%3F10E5F1G8F1%aI4R1E2G1E8%zE1F2R1E9\
    %2F1G1cE3G9F2G4E4R4F1R1G1FaI1E1R1E3R1%kKb%iE1%pE3G3F2G1F1G2F6R1F2E1F1q%7E1%1E1%4E1%fE1%aE1R6\
    %1bE1F3G8F5%aI6%2F2G1%8E2%2E2%mE1%7E1%2E1%5E1%2F1E2G1F4G2%2G2%3G2%1E6%1G5%5E2G2%7F3%5Fb%aE1%\
    1E2%1E1%12E1%1E3G6F1%1G2%1G1%4G1%2G1F1G1F1E1F1E2R1%2R8%2Ft%1hE3G8F2G3F1G1F4E5RaI2R1%1R1F3Eu%\
    1cE3G6F1G1F4G2F1G2F2E1R1E8%aI4m%1bE3G4F2%4G2F1G2FnR4E2Fy%1cE3G8F2G1F1G2F3R1Eb%aI6%dRj%17E1F1\
    G1F2G6F1G1F1E1R6%aI6%kIs%rE2%1F1G1F2G4F1G5F4%aI2K3R1V7E55%18E3G9F1G2F1R2s%wAwBaI9Kc%8E2%1E2%\
    8E1%2E1%oE6G1%2G2%2F1G1F1E1G1E1G1F3R9%aI1y%8E2%13E3G4F2%2F4G1F1E1R1E1Gr%1EaF14E6F1G1E4F8R1F8\
    %1E6F2G3F1aEdF1G2F3R1E5Rd%21E7%aR52%xE1Re%aI6%9E1%11E1G7F1%6F1G1F1E5Ra%aIjK3%2RuE2%mF1%1G7F1\
    G2F1G2F21%7E1%2E1%12E6F3%1F1%2F1%7F1E1F8%aI6%6E1%2E1%wE5G1%2F1%2G1F1G1F1E7%aI8m%jE2F2G2R7%2F\
    1E1GdE1%yE2G5F3%2G1F1G1FdRaI1F2d%1Ef%lK8V4ThVd%1RpmE2u%33J1%5Rb%5gE218%2pE2Rd%tsEg!1F6EfFa%3\
    2zE5%g7E5a1%uEcF3G3FaI1c6%ftE7%vE1%aI4%2R27E1%aI6%uE2%5F1Ra%1cE7F5R4V4D1R1Va%aI1%7K1%lE5%jEc\
    0%3D14E2D3RaI5i%wAwBnK4R2t%23E4%1F1E1jG7%4FdD1s%2D1R1D1Fb%2Ge%4qgE8%yeE15%aE6w7%4D1%7D1%2D1%\
    83Ef%1Et%3E2%1Ee%4E8%b0E1s4%2zE5%dE3%9E7%aE2%1V2F1R4!318%6oVaI6%c4V24%1aF2%nF9%38V1o%6uVa%13\
    V2%1oV2G3F3V6G8!8F2V7FuV4F1pVl%1uV3F1V3e%kKc%kKc%2fV9%pK3r%qAqBqA7B1%iBqAqB1A1%2A2%1A2%2A2%4\
    A1%8A4B1%1B1%7B1%bBqAqB2A1%4A2%8A1%7A1%qB2A1%4A1%5A1%1A3%7A1%qBqAqBqAqBqAqBqAqBqAqBqAsB2%pA1\
    SpB1S6BpA1SpB1S6BpA1SpB1S6BpA1SpB1S6BpA1SpB1S6B1A1B2%1eIe8V1jF4V1eF8V1FeV1F2V5Rf%5F1%fFuo%aB\
    1EkB6%6B5x%7F1%hF2%7F1%2F1%5F5%1qDx%1F34%19E3%7F7D2%aI4%1E1V8w%uE1Fh%18E4FaI5%1Tcw%rE1D4FaI5\
    y%uE2F1EaI4%1Rdc%7E1%4E1%2E1%fE1%5hE2%9K7F15%yAyB7F1D4%aI4%2Rlt%1nK1V3K1T4K24%19K1VfK5e%4E1%\
    rE1%2E1%1E2%1E1%aE1%4E1%1E1%1E6%1E4%1E1%1E1%1E1%3E1%2E1%1E2%1E1%1E1%1E1%1E1%1E1%2E1%1E2%4E1%\
    7E1%4E1%4E1%1E1%aE1%hE5%3E1%5E1%hE1g%2S7i%18V4%2sVc%fV2%fV1%fV1%11Va%dK4hV1k%tVd%18V4%9V7%2V\
    e%6V4a%6zV5Uk8V4%hV3%dV3%3bV4%2nV6%cV4%1Vf%cV4%1kV8%aV6%14V8%uV2%cV4%2V1q%9gVc%eV2%dV3%aV5%1\
    kV7%fV2%bV6%9V7%43V1%2kVaIsm%wyoEw%37eE6%66E2%4g2Ee%5rlEf%haE1wi%f2E15u%3t7E5%38gEf975%1!u%2\
    o!3k%6oF1e6o%1eke#2%1eke#2%
    """

  /// `\w` of Split and Replace: runs outside and inside, in turn.
  static let word = """
    1c a 7 q 4 1 1 q 1b 1 7 2 1 1 3 2 1 3 1 n 1 v 1 cq 4 c e 5 7 1 1 1 h 39 1 2 2 4 1 1 6 1 1 3 \
    1 1 1 k 1 2b 1 3v 1 4t 1 12 2 1 6 15 8 19 1 1 1 2 1 2 1 1 8 r 4 4 t b 5 22 4 2u 1 8 2 a 1 j \
    2 1 g 1n 2 2t e 1i 4 1 2 1 2 1a i s 4 b 5 o 1 6 8 23 1 3l 2 a 1 j 1 8 2 2 2 m 1 7 1 1 3 4 2 \
    9 2 2 2 4 8 1 4 2 1 5 2 c a 1 1 1 2 3 1 6 4 2 2 m 1 7 1 2 1 2 1 2 2 1 1 5 4 2 2 3 3 1 7 4 1 \
    1 7 g b 3 1 9 1 3 1 m 1 7 1 2 1 5 2 a 1 3 1 3 2 1 f 4 2 a 9 7 1 3 1 8 2 2 2 m 1 7 1 2 1 5 2 \
    9 2 2 2 3 7 3 4 2 1 5 2 a 1 1 g 2 1 6 3 3 1 4 3 2 1 1 1 2 3 2 3 3 3 c 4 5 3 3 1 4 2 1 6 1 e \
    a g d 1 3 1 n 1 g 2 9 1 3 1 4 7 2 1 3 2 1 2 4 2 a g 4 1 8 1 3 1 n 1 a 1 5 2 9 1 3 1 4 7 2 6 \
    2 1 4 2 a 1 3 c d 1 3 1 1f 1 3 1 5 5 4 7 5 2 a a 6 1 3 1 i 3 o 1 9 1 1 2 7 3 1 4 6 1 1 1 8 6\
     a 2 2 d 1m 5 f 1 a 13 2 1 1 1 5 1 o 1 1 1 n 2 5 1 1 1 7 1 a 2 4 w 1 n 2 6 a b 1 1 1 1 1 4 a\
     1 10 4 k 1 i 1 10 9 1 1l 22 6 26 2 12 1 1 5 1 2 17 1 99 1 4 2 7 1 1 1 4 2 15 1 4 2 x 1 4 2 \
    7 1 1 1 4 2 f 1 1l 1 4 2 1v 2 3 w g g 2e 2 6 3 h8 2 h 1 q 5 23 3 b 7 m 9 m b k c d 1 3 1 2 c\
     2c 3 1 4 2 2 a x 3 1 b 6 2h 7 17 5 1y a v 1 c 4 c a 14 2 5 b 18 4 q 6 a 12 s 4 1r 1 t 2 b 6\
     a d 1 8 v 1d 25 3 a h 9 c 38 c 1k 8 a 3 1d 2 b 5 17 2 3 g 3 1 13 5 eu 2 6 2 12 2 6 2 8 1 1 \
    1 1 1 1 1 v 2 1h 1 7 1 1 3 3 1 7 3 4 2 6 4 d 5 3 1 7 1u 2 j 1 s 1 d 1 g d 1f x h 1 4 1 2 a 1\
     1 3 5 6 1 1 1 1 1 1 4 1 b 2 4 5 5 4 1 h 15 ml 1g 1ee 6d 6 9 c 12 1 1 5 1 2 1k 7 1 f o 9 7 1\
     7 1 7 1 7 1 7 1 7 1 7 1 7 1 w 1b 1 d1 3 p f 1 5 2 5 4 2e 2 2 2 3 1 2i 1 4 5 17 1 2m h w 1c \
    g e8 534 1s h3h 1v 1a 2 7h 3 s k 1f 1 a 1 37 11 9 2 2v 2 1v 2 2 1 1 1 8 l 1i 4 1 j 1g c 1y a\
     a 6 o 3 1 1 1d 2 10 c t 3 1t e b 6 v 1 1j 9 e 2 a 6 n 3 21 o 3 2 g 2 5 a 6 2 6 2 6 9 7 1 7 \
    1 17 1 e 6 3f 1 2 2 a 6 8mc c n 4 1d 6is a6 2 2y 12 7 c 5 5 c 1 d 1 5 1 1 1 2 1 2 1 30 x a3 \
    i 1s 2 1i 14 c 4 g g g 3 2 o 3 w 5 1 3r j a 7 q 4 1 1 q b 2h 3 6 2 6 2 6 2 3 z c 1 q 1 j 1 2\
     1 f 2 e y 3f 1x 1h 3s 1 3m t 3 1d f 1 v w d u 5 17 5 u 2 10 4 8 1 5 16 4e 2 a 6 10 4 10 4 1\
    4 8 1g c b 1 f 1 7 1 2 1 b 1 f 1 7 1 2 3 1g c 8n 9 m a 8 o 6 1 16 1 9 1x 6 2 1 1 18 1 2 3 1 \
    2 n a n 9 v 1t j 1 2 a m a q 1y 1k 6 2 1s 4 1 2 5 8 1 3 1 t 2 3 4 1 w t 3 t z 8 1 u p 1i a m\
     a j d i 32 21 1j 1f d 1f d 14 8 a 6 12 3 5 1 n 6y 16 1 2 3 2 g 3 1j x a 1 8 x v m 16 l r n \
    9 1z v g 9 1o 7 1 d p 7 a 6 1h 1 a 4 4 8 10 2 1 9 1x 4 4 1 d 1 1 z i 1 11 6 4 1q 7 1 1 1 4 1\
     f 1 a 7 1n 5 a 6 4 1 8 2 2 2 m 1 7 1 2 1 5 1 a 2 2 2 3 2 1 6 1 5 7 2 7 3 5 b a 1 1 2 1 1 12\
     1 a 1 1 2 1 1 4 1 8 d 2 t 23 5 a 4 4 u 1y 1 1 8 a 4m 1i 2 9 n 6 y 1t 3 1 b a 12 1l 7 a 6 k \
    s r 2 f 4 a 6 7 55 1n 2t 22 l 8 2 1 2 8 1 2 1 u 1 2 2 9 c a 1y 8 2 1a 2 8 1 2 r 1r 8 1 8 22 \
    3 1 i 21 5j x f a 6 9 1 19 1 9 f a o u 2 m 1 e 21 7 1 2 1 18 3 1 1 2 1 9 8 a 6 6 1 2 1 11 1 \
    2 1 6 7 a 8m n 9 h 1 15 3 5 d b 2d 1 27 pm 2u 33 h 5g 218 2p f ts g m a 32z 5 g7 5a1 1m 1c6 \
    ft 7 v 1 a 6 27 1 a 6 u 2 5 b 1j 9 4 c a 9 l 5 j c0 19 3 a 5i 1s 3k 23 4 1l 7 h 1s 2 1 2 b 2\
     e 4qg 8 ye 15 a 6w7 4 1 7 1 2 1 83 f 1 t 3 2 1 e 4 8 b0 1s4 2z 5 d 3 9 7 a 3 2 381 a ee 1a \
    2 n f2 5 3 6 8 8 2 7 u 4 44 3 cb 2d 1 1z 1 2 2 1 2 2 2 4 1 c 1 1 1 7 1 1t 1 4 2 8 1 7 1 s 1 \
    4 1 5 1 1 3 7 1 9g 2 p 1 p 1 v 1 p 1 v 1 p 1 v 1 p 1 v 1 p 1 8 2 1e e8 1j 4 1e 8 1 e 1 m 5 1\
     f uo v 6 6 5x 7 1 h 2 7 1 2 1 5 5 1q x 1 34 19 3 e 2 a 4 1 8x v h 1m d2 16 5y 17 dh 7 1 4 1\
     2 1 f 1 5h b 7 15 24 4 a x2 4 1 r 1 2 1 1 2 1 1 a 1 4 1 1 1 1 6 1 4 1 1 1 1 1 1 3 1 2 1 1 2\
     1 1 1 1 1 1 1 1 1 1 2 1 1 2 4 1 7 1 4 1 4 1 1 1 a 1 h 5 3 1 5 1 h hg q 6 q 6 q 21y a sm wyo\
     w 37e 6 66 2 4g2 e 5rl f ha 1wi f2 15u 3t7 5 38g f9e8 6o
    """

  /// `\w` of added tokens and of Whitespace.
  static let otherWord = """
    1c a 7 q 4 1 1 q 1b 1 a 1 4 1 5 n 1 v 1 cq 4 c e 5 7 1 1 1 h 39 1 2 2 4 1 1 6 1 1 3 1 1 1 k \
    1 2b 1 3v 1 4t 1 12 2 1 6 15 8 19 1 1 1 2 1 2 1 1 8 r 4 4 t b 5 22 4 2u 1 8 2 a 1 j 2 1 g 1n\
     2 2t e 1i 4 1 2 1 2 1a i s 4 b 5 o 1 6 8 23 1 3l 2 a 1 j 1 8 2 2 2 m 1 7 1 1 3 4 2 9 2 2 2 \
    4 8 1 4 2 1 5 2 c a 1 1 1 2 3 1 6 4 2 2 m 1 7 1 2 1 2 1 2 2 1 1 5 4 2 2 3 3 1 7 4 1 1 7 g b \
    3 1 9 1 3 1 m 1 7 1 2 1 5 2 a 1 3 1 3 2 1 f 4 2 a 9 7 1 3 1 8 2 2 2 m 1 7 1 2 1 5 2 9 2 2 2 \
    3 7 3 4 2 1 5 2 a 1 1 g 2 1 6 3 3 1 4 3 2 1 1 1 2 3 2 3 3 3 c 4 5 3 3 1 4 2 1 6 1 e a g d 1 \
    3 1 n 1 g 2 9 1 3 1 4 7 2 1 3 2 1 2 4 2 a g 4 1 8 1 3 1 n 1 a 1 5 2 9 1 3 1 4 7 2 6 2 1 4 2 \
    a 1 3 c d 1 3 1 1f 1 3 1 5 5 4 7 5 2 a a 6 1 3 1 i 3 o 1 9 1 1 2 7 3 1 4 6 1 1 1 8 6 a 2 2 d\
     1m 5 f 1 a 13 2 1 1 1 5 1 o 1 1 1 n 2 5 1 1 1 7 1 a 2 4 w 1 n 2 6 a b 1 1 1 1 1 4 a 1 10 4 \
    k 1 i 1 10 9 1 1l 22 6 26 2 12 1 1 5 1 2 17 1 99 1 4 2 7 1 1 1 4 2 15 1 4 2 x 1 4 2 7 1 1 1 \
    4 2 f 1 1l 1 4 2 1v 2 3 w g g 2e 2 6 3 h8 2 h 1 q 5 23 3 b 7 m 9 m b k c d 1 3 1 2 c 2c 3 1 \
    4 2 2 a x 3 1 b 6 2h 7 17 5 1y a v 1 c 4 c a 14 2 5 b 18 4 q 6 a 12 s 4 1r 1 t 2 b 6 a d 1 8\
     v 1d 25 3 a h 9 c 38 c 1k 8 a 3 1d 2 b 5 17 2 3 g 3 1 13 5 eu 2 6 2 12 2 6 2 8 1 1 1 1 1 1 \
    1 v 2 1h 1 7 1 1 3 3 1 7 3 4 2 6 4 d 5 3 1 7 f 2 1d 2 j 1 s 1 d 1 g d 1f x h 1 4 1 2 a 1 1 3\
     5 6 1 1 1 1 1 1 4 1 b 2 4 5 5 4 1 h 15 ml 1g 1ee 6d 6 9 c 12 1 1 5 1 2 1k 7 1 f o 9 7 1 7 1\
     7 1 7 1 7 1 7 1 7 1 7 1 w 1b 1 d1 3 p f 1 5 2 5 4 2e 2 2 2 3 1 2i 1 4 5 17 1 2m h w 1c g e8\
     534 1s h3h 1v 1a 2 7h 3 s k 1f 1 a 1 37 11 9 2 2v 2 1v 2 2 1 1 1 8 l 1i 4 1 j 1g c 1y a a 6\
     o 3 1 1 1d 2 10 c t 3 1t e b 6 v 1 1j 9 e 2 a 6 n 3 21 o 3 2 g 2 5 a 6 2 6 2 6 9 7 1 7 1 17\
     1 e 6 3f 1 2 2 a 6 8mc c n 4 1d 6is a6 2 2y 12 7 c 5 5 c 1 d 1 5 1 1 1 2 1 2 1 30 x a3 i 1s\
     2 1i 14 c 4 g g g 3 2 o 3 w 5 1 3r j a 7 q 4 1 1 q b 2h 3 6 2 6 2 6 2 3 z c 1 q 1 j 1 2 1 f\
     2 e y 3f 1x 1h 3s 1 3m t 3 1d f 1 v w d u 5 17 5 u 2 10 4 8 1 5 16 4e 2 a 6 10 4 10 4 14 8 \
    1g c b 1 f 1 7 1 2 1 b 1 f 1 7 1 2 3 1g c 8n 9 m a 8 o 6 1 16 1 9 1x 6 2 1 1 18 1 2 3 1 2 n \
    a n 9 v 1t j 1 2 a m a q 1y 1k 6 2 1s 4 1 2 5 8 1 3 1 t 2 3 4 1 w t 3 t z 8 1 u p 1i a m a j\
     d i 32 21 1j 1f d 1f d 14 8 a 6 12 3 5 1 n 6y 16 1 2 3 2 g 3 1j x a 1 8 x v m 16 l r n 9 1z\
     v g 9 1o 7 1 d p 7 a 6 1h 1 a 4 4 8 10 2 1 9 1x 4 4 1 d 1 1 z i 1 11 6 4 1q 7 1 1 1 4 1 f 1\
     a 7 1n 5 a 6 4 1 8 2 2 2 m 1 7 1 2 1 5 1 a 2 2 2 3 2 1 6 1 5 7 2 7 3 5 b a 1 1 2 1 1 12 1 a\
     1 1 2 1 1 4 1 8 d 2 t 23 5 a 4 4 u 1y 1 1 8 a 4m 1i 2 9 n 6 y 1t 3 1 b a 12 1l 7 a 6 k s r \
    2 f 4 a 6 7 55 1n 2t 22 l 8 2 1 2 8 1 2 1 u 1 2 2 9 c a 1y 8 2 1a 2 8 1 2 r 1r 8 1 8 22 3 1 \
    i 21 5j x f a 6 9 1 19 1 9 f a o u 2 m 1 e 21 7 1 2 1 18 3 1 1 2 1 9 8 a 6 6 1 2 1 11 1 2 1 \
    6 7 a 8m n 9 h 1 15 3 5 d b 2d 1 27 pm 2u 33 h 5g 218 2p f ts g m a 32z 5 g7 5a1 1m 1c6 ft 7\
     v 1 a 6 27 1 a 6 u 2 5 b 1j 9 4 c a 9 l 5 j c0 19 3 a 5i 1s 3k 23 4 1l 7 h 1s 2 1 2 b 2 e 4\
    qg 8 ye 15 a 6w7 4 1 7 1 2 1 83 f 1 t 3 2 1 e 4 8 b0 1s4 2z 5 d 3 9 7 a 3 2 381 a ee 1a 2 n \
    f2 5 3 6 8 8 2 7 u 4 44 3 cb 2d 1 1z 1 2 2 1 2 2 2 4 1 c 1 1 1 7 1 1t 1 4 2 8 1 7 1 s 1 4 1 \
    5 1 1 3 7 1 9g 2 p 1 p 1 v 1 p 1 v 1 p 1 v 1 p 1 v 1 p 1 8 2 1e e8 1j 4 1e 8 1 e 1 m 5 1 f u\
    o v 6 6 5x 7 1 h 2 7 1 2 1 5 5 1q x 1 34 19 3 e 2 a 4 1 8x v h 1m d2 16 5y 17 dh 7 1 4 1 2 1\
     f 1 5h b 7 15 24 4 a x2 4 1 r 1 2 1 1 2 1 1 a 1 4 1 1 1 1 6 1 4 1 1 1 1 1 1 3 1 2 1 1 2 1 1\
     1 1 1 1 1 1 1 1 2 1 1 2 4 1 7 1 4 1 4 1 1 1 a 1 h 5 3 1 5 1 h hg q 6 q 6 q 21y a sm wyo w 3\
    7e 6 66 2 4g2 e 5rl f ha 1wi f2 15u 3t7 5 38g f9e8 6o
    """

  /// What Digits takes for a digit.
  static let numeric = """
    1c a 3c 2 5 1 2 3 141 a 3q a 5i a bg a 3a a 4 6 30 a 3a a 3a a 2 6 32 d 37 a 8 7 2v a 2w 7 7\
     j 31 a 2o a 3a a 1y k 7g a 1y a jz k oh 3 6n a 6 a m a 8c a 3k b 4l a 6 a 52 a 2e a 3q a 6 \
    a t2 1 3 6 6 a 5i 1f 2 5 k6 1o 26 m hi u 12h 1 ll 1 p 9 e 3 9j 4 3u a u 8 1 f w a 13 f msg a\
     58 a 8w 6 4a a 12 a 5i a m a 2e a ba a geu a dp 19 c 1l h 2 9h r 10 4 t 1 8 1 3q 5 5m a q6 \
    8 p 7 13 9 23 5 m 6 4g 2 2 g 2 1a 1s 9 1g 2 u 3 23 5 2w 8 o 8 15 7 96 6 1c a 6 a 7q v 4e a 1\
    6 4 34 7 3q u 3k a 1o a 40 a 7 k 6z a 9i a 3a a ae a 2u a 6 k 24 c bo j 2l a ie a 2e t 6b a \
    1y a 1i a 9y a 2u l tn 33 c01 a 1t2 a 2e a 3q a 1 7 em a 7a n 9p 3 id5 a 152 k c k 30 p ut 1\
    e 1ts a bq a dy a 6v a jw 9 3k a lz 1n 1 3 1 4 24 19 1 f qq d 25f a
    """

  /// What Punctuation takes for a mark.
  static let punctuation = """
    x f a 7 q 6 q 4 y 1 5 1 3 1 a 2 3 1 3 1 ji 1 8 1 cy 6 15 2 1f 1 1 1 2 1 2 1 18 2 k 2 1 2 d 1\
     2 2 22 4 2u 1 17 e 6h 3 1i f v 1 79 2 a 1 an 1 lf 1 2i 1 a 2 4o f 1 1 11 4 1z 1 22 5 4 2 33\
     6 4r 1 h0 9 47 1 h8 2 18 2 26 3 1z 2 4d 3 1 3 11 b 8p 2 60 2 3k 7 1 6 4s 7 4b 4 1n 5 1q 2 1\
    s 8 b 1 n0 o 8 k 1 d 1 c u 2 e 2 hl 4 t 2 u5 e 27 2 v a b7 m 1r 4 w 2 l7 4 1 2 34 1 3z 1b 1 \
    j ce 3 4 a 2 c g 1 c 1 2q 1 2i 1 mwy 2 7h 3 2r 1 a 1 37 6 ak 4 2e 2 14 3 1 1 1d 2 1b 1 2p d \
    g 2 3g 4 3i 2 g 2 6x 1 g2a 2 5s a m z 1 e 1 1 4 1 1 2 45 3 1 6 1 4 a 2 3 2 q 3 1 1 r 1 1 1 1\
     7 be 3 ik 1 1c 1 bi 1 kn 1 5j 1 v 1 7k 9 12 1 34 7 1u 7 2h 4 x6 7 31 2 1 4 3i 4 1c 2 27 5 3\
     1 d 1 1 3 2g 6 2z 1 f0 1 6y n 2x 3 6w 3 2lt 5 dtl 2 3p 1 1t 5 8 1 g2i 1 5wn 5
    """

  /// The script Han.
  static let han = """
    96o q 1 2h c 5y 1b 1 1 1 p 9 e 4 qs 534 1s g74 hkw a6 2 2y n48 2 c 2 sge wyo w 37e 6 66 2 4g\
    2 e 5rl f ha 1wi f2 15u 3t7 5 38g
    """

  /// Canonical combining classes, distance and class.
  static let combiningClasses = """
    lc:6e 1:6e 1:6e 1:6e 1:6e 1:6e 1:6e 1:6e 1:6e 1:6e 1:6e 1:6e 1:6e 1:6e 1:6e 1:6e 1:6e 1:6e 1\
    :6e 1:6e 1:6e 1:6g 1:64 1:64 1:64 1:64 1:6g 1:60 1:64 1:64 1:64 1:64 1:64 1:5m 1:5m 1:64 1:6\
    4 1:64 1:64 1:5m 1:5m 1:64 1:64 1:64 1:64 1:64 1:64 1:64 1:64 1:64 1:64 1:64 1:1 1:1 1:1 1:1\
     1:1 1:64 1:64 1:64 1:64 1:6e 1:6e 1:6e 3:6e 3:6o 1:6e 1:64 1:64 1:64 1:6e 1:6e 1:6e 1:64 1:\
    64 2:6e 1:6e 1:6e 1:64 1:64 1:64 1:64 1:6e 1:6g 1:64 1:64 1:6e 1:6h 1:6i 1:6i 1:6h 1:6i 1:6i\
     1:6h 1:6e 1:6e 1:6e 1:6e 1:6e 1:6e 1:6e 1:6e 1:6e 1:6e 1:6e 1:6e 1:6e 7o:6e 1:6e 1:6e 1:6e \
    1:6e 7e:64 1:6e 1:6e 1:6e 1:6e 1:64 1:6e 1:6e 1:6e 1:66 1:64 1:6e 1:6e 1:6e 1:6e 1:6e 1:6e 1\
    :64 1:64 1:64 1:64 1:64 1:64 1:6e 1:6e 1:64 1:6e 1:6e 1:66 1:6c 1:6e 1:a 1:b 1:c 1:d 1:e 1:f\
     1:g 1:h 1:i 1:j 1:j 1:k 1:l 1:m 2:n 2:o 1:p 2:6e 1:64 2:i 21:6e 1:6e 1:6e 1:6e 1:6e 1:6e 1:\
    6e 1:6e 1:u 1:v 1:w 1d:r 1:s 1:t 1:u 1:v 1:w 1:x 1:y 1:6e 1:6e 1:64 1:64 1:6e 1:6e 1:6e 1:6e\
     1:6e 1:64 1:6e 1:6e 1:64 h:z 2u:6e 1:6e 1:6e 1:6e 1:6e 1:6e 1:6e 3:6e 1:6e 1:6e 1:6e 1:64 1\
    :6e 3:6e 1:6e 2:64 1:6e 1:6e 1:64 10:10 v:6e 1:64 1:6e 1:6e 1:64 1:6e 1:6e 1:64 1:64 1:64 1:\
    6e 1:64 1:64 1:6e 1:64 1:6e 1:6e 1:6e 1:64 1:6e 1:64 1:6e 1:64 1:6e 1:64 1:6e 1:6e 4h:6e 1:6\
    e 1:6e 1:6e 1:6e 1:6e 1:6e 1:64 1:6e z:6e 1:6e 1:6e 1:6e 2:6e 1:6e 1:6e 1:6e 1:6e 1:6e 1:6e \
    1:6e 1:6e 2:6e 1:6e 1:6e 2:6e 1:6e 1:6e 1:6e 1:6e 18:64 1:64 1:64 3d:6e 1:6e 1:6e 1:6e 1:6e \
    1:6e 1:6e 1:6e 1:6e 1:6e 1:6e 1:6e 1:6e 1:6e 2:64 1:6e 1:6e 1:64 1:6e 1:6e 1:64 1:6e 1:6e 1:\
    6e 1:64 1:64 1:64 1:r 1:s 1:t 1:6e 1:6e 1:6e 1:64 1:6e 1:6e 1:64 1:64 1:6e 1:6e 1:6e 1:6e 1:\
    6e 1p:7 h:9 4:6e 1:64 1:6e 1:6e 2w:7 h:9 33:7 h:9 33:7 h:9 33:7 h:9 3k:9 3k:9 8:2c 1:2j 2u:7\
     h:9 3k:9 3h:9 32:2v 1:2v 1:9 e:2z 1:2z 1:2z 1:2z 31:3a 1:3a f:3e 1:3e 1:3e 1:3e 25:64 1:64 \
    s:64 2:64 2:60 1k:3l 1:3m 2:3o 6:3m 1:3m 1:3m 1:3m 3:3m 2:6e 1:6e 1:9 2:6e 1:6e 1r:64 35:7 2\
    :9 1:9 2b:64 k0:6e 1:6e 1:6e qd:9 w:9 4e:9 b:6e 5o:6c 40:66 1:6e 1:64 64:6e 1:64 20:9 l:6e 1\
    :6e 1:6e 1:6e 1:6e 1:6e 1:6e 1:6e 3:64 1d:6e 1:6e 1:6e 1:6e 1:6e 1:64 1:64 1:64 1:64 1:64 1:\
    64 1:6e 1:6e 1:64 3b:7 g:9 13:6e 1:64 1:6e 1:6e 1:6e 1:6e 1:6e 1:6e 1:6e 1j:9 1:9 1n:7 c:9 1\
    :9 1w:7 49:6e 1:6e 1:6e 2:1 1:64 1:64 1:64 1:64 1:64 1:6e 1:6e 1:64 1:64 1:64 1:64 1:6e 2:1 \
    1:1 1:1 1:1 1:1 1:1 1:1 5:64 7:6e 4:6e 1:6e 5j:6e 1:6e 1:64 1:6e 1:6e 1:6e 1:6e 1:6e 1:6e 1:\
    6e 1:64 1:6e 1:6e 1:6i 1:5y 1:64 1:5m 1:6e 1:6e 1:6e 1:6e 1:6e 1:6e 1:6e 1:6e 1:6e 1:6e 1:6e\
     1:6e 1:6e 1:6e 1:6e 1:6e 1:6e 1:6e 1:6e 1:6e 1:6e 1:6e 1:6e 1:6e 1:6e 1:6e 1:6e 1:6e 1:6e 1\
    :6e 1:6e 1:6e 1:6e 1:6e 1:6e 1:6e 1:6e 6:6e 1:6h 1:64 1:6e 1:64 k1:6e 1:6e 1:1 1:1 1:6e 1:6e\
     1:6e 1:6e 1:1 1:1 1:1 1:6e 1:6e 5:6e 4:1 1:1 1:6e 1:64 1:6e 1:1 1:1 1:64 1:64 1:64 1:64 1:6\
    e 2db:6e 1:6e 1:6e 3y:9 2p:6e 1:6e 1:6e 1:6e 1:6e 1:6e 1:6e 1:6e 1:6e 1:6e 1:6e 1:6e 1:6e 1:\
    6e 1:6e 1:6e 1:6e 1:6e 1:6e 1:6e 1:6e 1:6e 1:6e 1:6e 1:6e 1:6e 1:6e 1:6e 1:6e 1:6e 1:6e 1:6e\
     ff:62 1:6c 1:6g 1:66 1:68 1:68 2y:8 1:8 n9x:6e 5:6e 1:6e 1:6e 1:6e 1:6e 1:6e 1:6e 1:6e 1:6e\
     1:6e x:6e 1:6e 29:6e 1:6e 7p:9 5a:9 s:6e 1:6e 1:6e 1:6e 1:6e 1:6e 1:6e 1:6e 1:6e 1:6e 1:6e \
    1:6e 1:6e 1:6e 1:6e 1:6e 1:6e 1:6e 1m:64 1:64 1:64 12:9 2o:7 d:9 6o:6e 2:6e 1:6e 1:64 3:6e 1\
    :6e 6:6e 1:6e 2:6e 1h:9 6v:9 fn5:q le:6e 1:6e 1:6e 1:6e 1:6e 1:6e 1:6e 1:64 1:64 1:64 1:64 1\
    :64 1:64 1:64 1:6e 1:6e r2:64 6b:64 46:6e 1:6e 1:6e 1:6e 1:6e 1ar:64 2:6e 15:6e 1:1 1:64 5:9\
     4m:6e 1:64 128:9 1l:9 1m:9 1:7 1y:6e 1:6e 1:6e 1d:9 1:9 1r:7 25:9 a:7 2z:9 1:7 4z:7 1:9 2a:\
    7 h:9 p:6e 1:6e 1:6e 1:6e 1:6e 1:6e 1:6e 4:6e 1:6e 1:6e 1:6e 1:6e 5q:9 4:7 3g:9 1:7 70:9 1:7\
     3j:9 3b:9 1:7 38:9 104:9 fjl:1 1:1 1:1 1:1 1:1 1o:6e 1:6e 1:6e 1:6e 1:6e 1:6e 1:6e g2w:1 43\
    r:60 1:60 1:1 1:1 1:1 4:6a 1:60 1:60 1:60 1:60 1:60 9:64 1:64 1:64 1:64 1:64 1:64 1:64 1:64 \
    3:6e 1:6e 1:6e 1:6e 1:6e 1:64 1:64 v:6e 1:6e 1:6e 1:6e 45:6e 1:6e 1:6e 2po:6e 1:6e 1:6e 1:6e\
     1:6e 1:6e 1:6e 2:6e 1:6e 1:6e 1:6e 1:6e 1:6e 1:6e 1:6e 1:6e 1:6e 1:6e 1:6e 1:6e 1:6e 1:6e 1\
    :6e 1:6e 3:6e 1:6e 1:6e 1:6e 1:6e 1:6e 1:6e 2:6e 1:6e 2:6e 1:6e 1:6e 1:6e 1:6e 1pi:64 1:64 1\
    :64 1:64 1:64 1:64 1:64 32:6e 1:6e 1:6e 1:6e 1:6e 1:6e 1:7
    """

  /// Scalars that NFC never makes.
  static let excluded = """
    n4 2 1 2 1b 1 9 1 8 1 15c 8 3g 2 1 1 2b 1 2 1 y 3 2 1 71 2 rp 1 9 1 4 1 4 1 4 1 c 1 9 1 1 2 \
    1 1 8 1 h 1 9 1 4 1 4 1 4 1 c 1 33r 1 1 1 1 1 1 1 1 1 1 1 1 1 1p 1 2 1 a 1 1 1 7 1 7 1 7 1 7\
     1 2 2 9 1 1 1 1 1 2 2 84 1 3 2 e5 2 1ip 1 14pv 7i 2 1 1 1 2 a 1 1 1 1 2 2 3 1w 2 2y 1v 1 1 \
    1 a d 1 5 1 1 1 2 1 2 1 9 16a7 7 2e 6 1m4f f2
    """

  /// Full canonical decompositions, distance and scalars.
  static let canonical = """
    5c:1t,lc 1:1t,ld 1:1t,le 1:1t,lf 1:1t,lk 1:1t,lm 2:1v,mf 1:1x,lc 1:1x,ld 1:1x,le 1:1x,lk 1:2\
    1,lc 1:21,ld 1:21,le 1:21,lk 2:26,lf 1:27,lc 1:27,ld 1:27,le 1:27,lf 1:27,lk 3:2d,lc 1:2d,ld\
     1:2d,le 1:2d,lk 1:2h,ld 3:2p,lc 1:2p,ld 1:2p,le 1:2p,lf 1:2p,lk 1:2p,lm 2:2r,mf 1:2t,lc 1:2\
    t,ld 1:2t,le 1:2t,lk 1:2x,lc 1:2x,ld 1:2x,le 1:2x,lk 2:32,lf 1:33,lc 1:33,ld 1:33,le 1:33,lf\
     1:33,lk 3:39,lc 1:39,ld 1:39,le 1:39,lk 1:3d,ld 2:3d,lk 1:1t,lg 1:2p,lg 1:1t,li 1:2p,li 1:1\
    t,mg 1:2p,mg 1:1v,ld 1:2r,ld 1:1v,le 1:2r,le 1:1v,lj 1:2r,lj 1:1v,lo 1:2r,lo 1:1w,lo 1:2s,lo\
     3:1x,lg 1:2t,lg 1:1x,li 1:2t,li 1:1x,lj 1:2t,lj 1:1x,mg 1:2t,mg 1:1x,lo 1:2t,lo 1:1z,le 1:2\
    v,le 1:1z,li 1:2v,li 1:1z,lj 1:2v,lj 1:1z,mf 1:2v,mf 1:20,le 1:2w,le 3:21,lf 1:2x,lf 1:21,lg\
     1:2x,lg 1:21,li 1:2x,li 1:21,mg 1:2x,mg 1:21,lj 4:22,le 1:2y,le 1:23,mf 1:2z,mf 2:24,ld 1:3\
    0,ld 1:24,mf 1:30,mf 1:24,lo 1:30,lo 5:26,ld 1:32,ld 1:26,mf 1:32,mf 1:26,lo 1:32,lo 4:27,lg\
     1:33,lg 1:27,li 1:33,li 1:27,ln 1:33,ln 3:2a,ld 1:36,ld 1:2a,mf 1:36,mf 1:2a,lo 1:36,lo 1:2\
    b,ld 1:37,ld 1:2b,le 1:37,le 1:2b,mf 1:37,mf 1:2b,lo 1:37,lo 1:2c,mf 1:38,mf 1:2c,lo 1:38,lo\
     3:2d,lf 1:39,lf 1:2d,lg 1:39,lg 1:2d,li 1:39,li 1:2d,lm 1:39,lm 1:2d,ln 1:39,ln 1:2d,mg 1:3\
    9,mg 1:2f,le 1:3b,le 1:2h,le 1:3d,le 1:2h,lk 1:2i,ld 1:3e,ld 1:2i,lj 1:3e,lj 1:2i,lo 1:3e,lo\
     y:27,m3 1:33,m3 e:2d,m3 1:39,m3 t:1t,lo 1:2p,lo 1:21,lo 1:2x,lo 1:27,lo 1:33,lo 1:2d,lo 1:3\
    9,lo 1:2d,lk,lg 1:39,lk,lg 1:2d,lk,ld 1:39,lk,ld 1:2d,lk,lo 1:39,lk,lo 1:2d,lk,lc 1:39,lk,lc\
     2:1t,lk,lg 1:2p,lk,lg 1:1t,lj,lg 1:2p,lj,lg 1:5i,lg 1:6e,lg 3:1z,lo 1:2v,lo 1:23,lo 1:2z,lo\
     1:27,mg 1:33,mg 1:27,mg,lg 1:33,mg,lg 1:c7,lo 1:ia,lo 1:2y,lo 4:1z,ld 1:2v,ld 3:26,lc 1:32,\
    lc 1:1t,lm,ld 1:2p,lm,ld 1:5i,ld 1:6e,ld 1:60,ld 1:6w,ld 1:1t,lr 1:2p,lr 1:1t,lt 1:2p,lt 1:1\
    x,lr 1:2t,lr 1:1x,lt 1:2t,lt 1:21,lr 1:2x,lr 1:21,lt 1:2x,lt 1:27,lr 1:33,lr 1:27,lt 1:33,lt\
     1:2a,lr 1:36,lr 1:2a,lt 1:36,lt 1:2d,lr 1:39,lr 1:2d,lt 1:39,lt 1:2b,me 1:37,me 1:2c,me 1:3\
    8,me 3:20,lo 1:2w,lo 7:1t,lj 1:2p,lj 1:1x,mf 1:2t,mf 1:27,lk,lg 1:33,lk,lg 1:27,lf,lg 1:33,l\
    f,lg 1:27,lj 1:33,lj 1:27,lj,lg 1:33,lj,lg 1:2h,lg 1:3d,lg 7h:lc 1:ld 2:lv 1:lk,ld 1c:jd a:1\
    n 7:4o,ld 1:pd,ld 1:53 1:ph,ld 1:pj,ld 1:pl,ld 2:pr,ld 2:px,ld 1:q1,ld 1:qh,lk,ld q:pl,lk 1:\
    px,lk 1:q9,ld 1:qd,ld 1:qf,ld 1:qh,ld 1:qt,lk,ld q:qh,lk 1:qt,lk 1:qn,ld 1:qt,ld 1:qx,ld 5:r\
    6,ld 1:r6,lk 18:t1,lc 1:t1,lk 2:sz,ld 4:sm,lk 5:t6,ld 1:t4,lc 1:tf,li b:t4,li w:u0,li n:tx,l\
    c 1:tx,lk 2:tv,ld 4:uu,lk 5:u2,ld 1:u0,lc 1:ub,li o:vo,lr 1:vp,lr 22:t2,li 1:ty,li e:sw,li 1\
    :ts,li 1:sw,lk 1:ts,lk 3:t1,li 1:tx,li 3:yg,lk 1:yh,lk 1:t2,lk 1:ty,lk 1:t3,lk 1:tz,lk 3:t4,\
    lg 1:u0,lg 1:t4,lk 1:u0,lk 1:ta,lk 1:u6,lk 3:yw,lk 1:yx,lk 1:tp,lk 1:ul,lk 1:tf,lg 1:ub,lg 1\
    :tf,lk 1:ub,lk 1:tf,ln 1:ub,ln 1:tj,lk 1:uf,lk 3:tn,lk 1:uj,lk 89:17r,18z 1:17r,190 1:18o,19\
    0 1:17r,191 1:18q,190 4a:1cl,190 2:1c1,190 h:1ci,190 gm:1t4,1to 8:1tc,1to 3:1tf,1to 10:1sl,1\
    to 1:1sm,1to 1:1sn,1to 1:1ss,1to 1:1sx,1to 1:1sy,1to 1:1t7,1to 1:1tb,1to 30:1xj,1xa 1:1xj,1x\
    z g:1wh,1x8 1:1wi,1x8 2:1wv,1x8 2c:20i,20s 3:20o,20s z:1zq,20s 1:1zr,20s 1:1zw,20s 3:20b,20s\
     6i:287,28m 3:287,27y 1:287,28n g:275,27w 1:276,27w 1j:2aa,2c7 1i:2bq,2bi 1:2br,2bi 1:2bq,2c\
    7 3g:2fa,2fq 3c:2in,2j9 7:2iu,2j9 1:2iu,2ja 2:2iu,2iq 1:2iu,2iq,2j9 3j:2me,2m6 1:2mf,2m6 1:2\
    me,2mv 3y:2qh,2q2 2:2qh,2q7 1:2qh,2q7,2q2 1:2qh,2qn 9x:30i,33r a:30s,33r 5:30x,33r 5:312,33r\
     5:317,33r d:30g,33p a:31t,31u 2:31t,31w 1:33m,328 2:33n,328 9:31t,328 i:32q,33r a:330,33r 5\
    :335,33r 5:33a,33r 5:33f,33r d:32o,33p 31:36t,372 25c:5c5,5dh 2:5c7,5dh 2:5c9,5dh 2:5cb,5dh \
    2:5cd,5dh 4:5ch,5dh 15:5dm,5dh 2:5do,5dh 3:5dq,5dh 1:5dr,5dh 2:5du,5dh jh:1t,md 1:2p,md 1:1u\
    ,lj 1:2q,lj 1:1u,mb 1:2q,mb 1:1u,mp 1:2q,mp 1:1v,mf,ld 1:2r,mf,ld 1:1w,lj 1:2s,lj 1:1w,mb 1:\
    2s,mb 1:1w,mp 1:2s,mp 1:1w,mf 1:2s,mf 1:1w,ml 1:2s,ml 1:1x,lg,lc 1:2t,lg,lc 1:1x,lg,ld 1:2t,\
    lg,ld 1:1x,ml 1:2t,ml 1:1x,mo 1:2t,mo 1:1x,mf,li 1:2t,mf,li 1:1y,lj 1:2u,lj 1:1z,lg 1:2v,lg \
    1:20,lj 1:2w,lj 1:20,mb 1:2w,mb 1:20,lk 1:2w,lk 1:20,mf 1:2w,mf 1:20,mm 1:2w,mm 1:21,mo 1:2x\
    ,mo 1:21,lk,ld 1:2x,lk,ld 1:23,ld 1:2z,ld 1:23,mb 1:2z,mb 1:23,mp 1:2z,mp 1:24,mb 1:30,mb 1:\
    24,mb,lg 1:30,mb,lg 1:24,mp 1:30,mp 1:24,ml 1:30,ml 1:25,ld 1:31,ld 1:25,lj 1:31,lj 1:25,mb \
    1:31,mb 1:26,lj 1:32,lj 1:26,mb 1:32,mb 1:26,mp 1:32,mp 1:26,ml 1:32,ml 1:27,lf,ld 1:33,lf,l\
    d 1:27,lf,lk 1:33,lf,lk 1:27,lg,lc 1:33,lg,lc 1:27,lg,ld 1:33,lg,ld 1:28,ld 1:34,ld 1:28,lj \
    1:34,lj 1:2a,lj 1:36,lj 1:2a,mb 1:36,mb 1:2a,mb,lg 1:36,mb,lg 1:2a,mp 1:36,mp 1:2b,lj 1:37,l\
    j 1:2b,mb 1:37,mb 1:2b,ld,lj 1:37,ld,lj 1:2b,lo,lj 1:37,lo,lj 1:2b,mb,lj 1:37,mb,lj 1:2c,lj \
    1:38,lj 1:2c,mb 1:38,mb 1:2c,mp 1:38,mp 1:2c,ml 1:38,ml 1:2d,mc 1:39,mc 1:2d,mo 1:39,mo 1:2d\
    ,ml 1:39,ml 1:2d,lf,ld 1:39,lf,ld 1:2d,lg,lk 1:39,lg,lk 1:2e,lf 1:3a,lf 1:2e,mb 1:3a,mb 1:2f\
    ,lc 1:3b,lc 1:2f,ld 1:3b,ld 1:2f,lk 1:3b,lk 1:2f,lj 1:3b,lj 1:2f,mb 1:3b,mb 1:2g,lj 1:3c,lj \
    1:2g,lk 1:3c,lk 1:2h,lj 1:3d,lj 1:2i,le 1:3e,le 1:2i,mb 1:3e,mb 1:2i,mp 1:3e,mp 1:2w,mp 1:38\
    ,lk 1:3b,lm 1:3d,lm 2:an,lj 5:1t,mb 1:2p,mb 1:1t,ll 1:2p,ll 1:1t,le,ld 1:2p,le,ld 1:1t,le,lc\
     1:2p,le,lc 1:1t,le,ll 1:2p,le,ll 1:1t,le,lf 1:2p,le,lf 1:1t,mb,le 1:2p,mb,le 1:1t,li,ld 1:2\
    p,li,ld 1:1t,li,lc 1:2p,li,lc 1:1t,li,ll 1:2p,li,ll 1:1t,li,lf 1:2p,li,lf 1:1t,mb,li 1:2p,mb\
    ,li 1:1x,mb 1:2t,mb 1:1x,ll 1:2t,ll 1:1x,lf 1:2t,lf 1:1x,le,ld 1:2t,le,ld 1:1x,le,lc 1:2t,le\
    ,lc 1:1x,le,ll 1:2t,le,ll 1:1x,le,lf 1:2t,le,lf 1:1x,mb,le 1:2t,mb,le 1:21,ll 1:2x,ll 1:21,m\
    b 1:2x,mb 1:27,mb 1:33,mb 1:27,ll 1:33,ll 1:27,le,ld 1:33,le,ld 1:27,le,lc 1:33,le,lc 1:27,l\
    e,ll 1:33,le,ll 1:27,le,lf 1:33,le,lf 1:27,mb,le 1:33,mb,le 1:27,m3,ld 1:33,m3,ld 1:27,m3,lc\
     1:33,m3,lc 1:27,m3,ll 1:33,m3,ll 1:27,m3,lf 1:33,m3,lf 1:27,m3,mb 1:33,m3,mb 1:2d,mb 1:39,m\
    b 1:2d,ll 1:39,ll 1:2d,m3,ld 1:39,m3,ld 1:2d,m3,lc 1:39,m3,lc 1:2d,m3,ll 1:39,m3,ll 1:2d,m3,\
    lf 1:39,m3,lf 1:2d,m3,mb 1:39,m3,mb 1:2h,lc 1:3d,lc 1:2h,mb 1:3d,mb 1:2h,ll 1:3d,ll 1:2h,lf \
    1:3d,lf 7:q9,lv 1:q9,lw 1:q9,lv,lc 1:q9,lw,lc 1:q9,lv,ld 1:q9,lw,ld 1:q9,lv,n6 1:q9,lw,n6 1:\
    pd,lv 1:pd,lw 1:pd,lv,lc 1:pd,lw,lc 1:pd,lv,ld 1:pd,lw,ld 1:pd,lv,n6 1:pd,lw,n6 1:qd,lv 1:qd\
    ,lw 1:qd,lv,lc 1:qd,lw,lc 1:qd,lv,ld 1:qd,lw,ld 3:ph,lv 1:ph,lw 1:ph,lv,lc 1:ph,lw,lc 1:ph,l\
    v,ld 1:ph,lw,ld 3:qf,lv 1:qf,lw 1:qf,lv,lc 1:qf,lw,lc 1:qf,lv,ld 1:qf,lw,ld 1:qf,lv,n6 1:qf,\
    lw,n6 1:pj,lv 1:pj,lw 1:pj,lv,lc 1:pj,lw,lc 1:pj,lv,ld 1:pj,lw,ld 1:pj,lv,n6 1:pj,lw,n6 1:qh\
    ,lv 1:qh,lw 1:qh,lv,lc 1:qh,lw,lc 1:qh,lv,ld 1:qh,lw,ld 1:qh,lv,n6 1:qh,lw,n6 1:pl,lv 1:pl,l\
    w 1:pl,lv,lc 1:pl,lw,lc 1:pl,lv,ld 1:pl,lw,ld 1:pl,lv,n6 1:pl,lw,n6 1:qn,lv 1:qn,lw 1:qn,lv,\
    lc 1:qn,lw,lc 1:qn,lv,ld 1:qn,lw,ld 3:pr,lv 1:pr,lw 1:pr,lv,lc 1:pr,lw,lc 1:pr,lv,ld 1:pr,lw\
    ,ld 3:qt,lv 1:qt,lw 1:qt,lv,lc 1:qt,lw,lc 1:qt,lv,ld 1:qt,lw,ld 1:qt,lv,n6 1:qt,lw,n6 2:px,l\
    w 2:px,lw,lc 2:px,lw,ld 2:px,lw,n6 1:qx,lv 1:qx,lw 1:qx,lv,lc 1:qx,lw,lc 1:qx,lv,ld 1:qx,lw,\
    ld 1:qx,lv,n6 1:qx,lw,n6 1:q1,lv 1:q1,lw 1:q1,lv,lc 1:q1,lw,lc 1:q1,lv,ld 1:q1,lw,ld 1:q1,lv\
    ,n6 1:q1,lw,n6 1:q9,lc 1:q9,ld 1:qd,lc 1:qd,ld 1:qf,lc 1:qf,ld 1:qh,lc 1:qh,ld 1:qn,lc 1:qn,\
    ld 1:qt,lc 1:qt,ld 1:qx,lc 1:qx,ld 3:q9,lv,n9 1:q9,lw,n9 1:q9,lv,lc,n9 1:q9,lw,lc,n9 1:q9,lv\
    ,ld,n9 1:q9,lw,ld,n9 1:q9,lv,n6,n9 1:q9,lw,n6,n9 1:pd,lv,n9 1:pd,lw,n9 1:pd,lv,lc,n9 1:pd,lw\
    ,lc,n9 1:pd,lv,ld,n9 1:pd,lw,ld,n9 1:pd,lv,n6,n9 1:pd,lw,n6,n9 1:qf,lv,n9 1:qf,lw,n9 1:qf,lv\
    ,lc,n9 1:qf,lw,lc,n9 1:qf,lv,ld,n9 1:qf,lw,ld,n9 1:qf,lv,n6,n9 1:qf,lw,n6,n9 1:pj,lv,n9 1:pj\
    ,lw,n9 1:pj,lv,lc,n9 1:pj,lw,lc,n9 1:pj,lv,ld,n9 1:pj,lw,ld,n9 1:pj,lv,n6,n9 1:pj,lw,n6,n9 1\
    :qx,lv,n9 1:qx,lw,n9 1:qx,lv,lc,n9 1:qx,lw,lc,n9 1:qx,lv,ld,n9 1:qx,lw,ld,n9 1:qx,lv,n6,n9 1\
    :qx,lw,n6,n9 1:q1,lv,n9 1:q1,lw,n9 1:q1,lv,lc,n9 1:q1,lw,lc,n9 1:q1,lv,ld,n9 1:q1,lw,ld,n9 1\
    :q1,lv,n6,n9 1:q1,lw,n6,n9 1:q9,li 1:q9,lg 1:q9,lc,n9 1:q9,n9 1:q9,ld,n9 2:q9,n6 1:q9,n6,n9 \
    1:pd,li 1:pd,lg 1:pd,lc 1:pd,ld 1:pd,n9 2:qh 3:4o,n6 1:qf,lc,n9 1:qf,n9 1:qf,ld,n9 2:qf,n6 1\
    :qf,n6,n9 1:ph,lc 1:ph,ld 1:pj,lc 1:pj,ld 1:pj,n9 1:69r,lc 1:69r,ld 1:69r,n6 1:qh,li 1:qh,lg\
     1:qh,lk,lc 1:qh,lk,ld 3:qh,n6 1:qh,lk,n6 1:pl,li 1:pl,lg 1:pl,lc 1:pl,ld 2:6bi,lc 1:6bi,ld \
    1:6bi,n6 1:qt,li 1:qt,lg 1:qt,lk,lc 1:qt,lk,ld 1:qp,lv 1:qp,lw 1:qt,n6 1:qt,lk,n6 1:px,li 1:\
    px,lg 1:px,lc 1:px,ld 1:pt,lw 1:4o,lc 1:4o,ld 1:2o 3:qx,lc,n9 1:qx,n9 1:qx,ld,n9 2:qx,n6 1:q\
    x,n6,n9 1:pr,lc 1:pr,ld 1:q1,lc 1:q1,ld 1:q1,n9 1:50 3:6bm 1:6bn 85:q1 4:23 1:1t,lm 33:6mo,m\
    w 1:6mq,mw j:6ms,mw v:6og,mw 1:6ok,mw 1:6oi,mw 1h:6pv,mw 5:6q0,mw 3:6q3,mw o:6qr,mw 2:6qt,mw\
     r:6rg,mw 3:6rn,mw 3:6rp,mw 2:6rs,mw n:1p,mw 2:6sh,mw b:6rx,mw 1:1o,mw 1:1q,mw 1:6sk,mw 1:6s\
    l,mw 3:6sy,mw 1:6sz,mw 3:6t2,mw 1:6t3,mw 7:6t6,mw 1:6t7,mw 3:6te,mw 1:6tf,mw 3:6ti,mw 1:6tj,\
    mw z:6ua,mw 1:6ug,mw 1:6uh,mw 1:6uj,mw 1d:6t8,mw 1:6t9,mw 1:6tt,mw 1:6tu,mw 7:6uq,mw 1:6ur,m\
    w 1:6us,mw 1:6ut,mw 1o:9hk 1:9hl 1iq:8gt,mw 12o:9jf,9ll 2:9jh,9ll 2:9jj,9ll 2:9jl,9ll 2:9jn,\
    9ll 2:9jp,9ll 2:9jr,9ll 2:9jt,9ll 2:9jv,9ll 2:9jx,9ll 2:9jz,9ll 2:9k1,9ll 3:9k4,9ll 2:9k6,9l\
    l 2:9k8,9ll 7:9kf,9ll 1:9kf,9lm 2:9ki,9ll 1:9ki,9lm 2:9kl,9ll 1:9kl,9lm 2:9ko,9ll 1:9ko,9lm \
    2:9kr,9ll 1:9kr,9lm n:9ja,9ll a:9lp,9ll e:9m3,9ll 2:9m5,9ll 2:9m7,9ll 2:9m9,9ll 2:9mb,9ll 2:\
    9md,9ll 2:9mf,9ll 2:9mh,9ll 2:9mj,9ll 2:9ml,9ll 2:9mn,9ll 2:9mp,9ll 3:9ms,9ll 2:9mu,9ll 2:9m\
    w,9ll 7:9n3,9ll 1:9n3,9lm 2:9n6,9ll 1:9n6,9lm 2:9n9,9ll 1:9n9,9lm 2:9nc,9ll 1:9nc,9lm 2:9nf,\
    9ll 1:9nf,9lm n:9ly,9ll 3:9nz,9ll 1:9o0,9ll 1:9o1,9ll 1:9o2,9ll 4:9od,9ll 13ia:rpk 1:kc4 1:s\
    7e 1:rt4 1:lw1 1:fg2 1:gkl 1:vj0 1:vj0 1:hn5 1:ssx 1:gw7 1:hmw 1:jcm 1:ne1 1:p6t 1:qin 1:qt6\
     1:r20 1:sjz 1:kxu 1:ljv 1:mah 1:mvy 1:q4d 1:sq2 1:uep 1:fia 1:ghh 1:l50 1:mjf 1:qi5 1:v8e 1\
    :ifk 1:m3v 1:qfh 1:r50 1:jih 1:pnc 1:qvz 1:iq2 1:kd3 1:lm2 1:mpo 1:slq 1:fpi 1:g53 1:gda 1:j\
    wk 1:l3n 1:mj4 1:nhj 1:pa9 1:qh2 1:qjg 1:s1b 1:tv6 1:upb 1:v7e 1:nt8 1:nzz 1:otc 1:q15 1:t1g\
     1:vb3 1:rfa 1:hjz 1:iro 1:okg 1:pdq 1:mle 1:nuy 1:rsy 1:ttj 1:hjs 1:i8y 1:kyb 1:lp6 1:lxr 1\
    :oq7 1:oxj 1:tor 1:gcy 1:pe3 1:g64 1:g5o 1:o4c 1:ou6 1:q29 1:tpx 1:rk0 1:jin 1:kxu 1:rge 1:f\
    g9 1:i5j 1:iz6 1:mtj 1:n74 1:gev 1:nwb 1:fr3 1:iw9 1:ff1 1:lho 1:k1k 1:opu 1:gjn 1:hge 1:ni9\
     1:q4p 1:re2 1:la2 1:sds 1:lfs 1:jjy 1:put 1:jog 1:n6t 1:fji 1:g2x 1:g5l 1:kn5 1:oo7 1:prj 1\
    :rf6 1:ssv 1:gdx 1:gn6 1:ho3 1:ir0 1:k3p 1:m4e 1:nxm 1:tkd 1:ui2 1:vbr 1:vda 1:gbf 1:kau 1:l\
    87 1:sbm 1:ino 1:j9s 1:jcw 1:jve 1:lyb 1:mdl 1:n0p 1:o22 1:ovo 1:pdb 1:s9y 1:q9a 1:sgz 1:t3e\
     1:g7r 1:gbn 1:gql 1:ma0 1:r0i 1:re2 1:iq1 1:iyd 1:jnf 1:l9q 1:oji 1:mt1 1:fl0 1:h6h 1:i5j 1\
    :iii 1:izg 1:muq 1:mzt 1:p7e 1:pc6 1:svo 1:tti 1:tvs 1:u1k 1:fpn 1:o1a 1:ss4 1:trs 1:j4x 1:f\
    ie 1:fyy 1:i5q 1:i7z 1:k2h 1:kxu 1:mha 1:ncy 1:q9o 1:sjg 1:vil 1:k94 1:tny 1:gax 1:kfv 1:kj7\
     1:lkx 1:luk 1:mx5 1:n6h 1:nsb 1:opc 1:u3i 1:g31 1:je6 1:tq0 1:fu3 1:ie1 1:lpm 1:sa2 1:ivf 1\
    :j7o 1:kk7 1:mtj 1:tqe 1:g89 1:glr 1:i91 1:k5v 1:kem 1:ko8 1:lid 1:mx2 1:naa 1:p6h 1:r0v 1:r\
    1d 1:sss 1:tsy 1:gfz 1:lve 1:gm5 1:mhc 1:n14 1:qgq 1:tr7 1:uvr 1:vbz 1:kgn 1:lor 1:pns 1:o97\
     1:obk 1:olu 1:mo0 1:m8p 1:riw 1:fk0 1:px2 1:g8q 1:g7b 1:ip2 1:jir 1:onq 1:i2t 1:ljy 1:kac 1\
    :saj 1:qx8 1:tot 1:r63 1:iqb 1:g1s 1:gxs 3:hga 2:k8k 3:g66 1:mqy 1:ngq 1:ny4 1:nz2 1:nz9 1:o\
    0f 1:tw6 1:on2 1:p8d 2:qhe 2:rg8 3:shk 1:sn1 4:u7j 1:u7w 1:u94 1:v5g 1:sm6 1:trr 1:fqm 1:fzb\
     1:g25 1:gcp 1:gdg 1:ggh 1:gwt 1:gzq 1:h2g 1:hfk 1:hig 1:i90 1:i9a 1:j2s 1:j8o 1:j9q 1:jci 1\
    :k0f 1:k4i 1:k9d 1:kn9 1:lmf 1:lqy 1:lya 1:mem 1:mjv 1:mxu 1:ntd 1:ny6 1:nyh 1:nyg 1:nyo 1:n\
    yu 1:nz1 1:o0d 1:o0e 1:o5c 1:o75 1:og0 1:ovo 1:ow9 1:oxt 1:p6a 1:pad 1:pnx 1:prt 1:prt 1:q53\
     1:r2o 1:r6e 1:rgh 1:ri1 1:rtf 1:ruw 1:sdy 1:shk 1:tsz 1:u0v 1:u2j 1:j1x 1:36cu 1:pp4 3:ffq \
    1:g51 1:g2w 1:fpc 1:g1x 1:g3k 1:gcn 1:ge2 1:gwt 1:gut 1:gwp 1:gyq 1:hga 1:hir 1:hms 1:hn8 1:\
    huq 1:i08 1:iqa 1:iqh 1:iuh 1:iwd 1:j4o 1:j7y 1:j60 1:j9q 1:j8g 1:jci 1:jec 1:jpg 1:jrw 1:jt\
    e 1:k0m 1:k8k 1:kd3 1:kd7 1:keu 1:l89 1:la2 1:lkx 1:lwb 1:lvv 1:lya 1:m5a 1:mem 1:nmv 1:mk5 \
    1:mnj 1:mqy 1:n01 1:n46 1:n5n 1:nbx 1:nbz 1:ngq 1:nh7 1:nhw 1:nka 1:nk0 1:nv0 1:o8h 1:og0 1:\
    ol7 1:orf 1:ovo 1:p4u 1:pad 1:pxu 1:q27 1:qrd 1:r41 1:r5y 1:r6e 1:ren 1:rg8 1:rez 1:rgh 1:rg\
    e 1:rfx 1:ri1 1:rka 1:ruw 1:sag 1:sj6 1:srd 1:sxi 1:tq4 1:tsz 1:tw6 1:tzv 1:u0v 1:u17 1:u2j \
    1:umq 1:vj0 1:313e 1:3138 1:33dh 1:brx 1:cns 1:cop 1:39e1 1:3bgw 1:3i6r 1:vgj 1:vim 1w:15l,1\
    4k 2:16a,14n b:161,14x 1:161,14y 1:161,14s,14x 1:161,14s,14y 1:15c,14n 1:15c,14o 1:15c,14s 1\
    :15d,14s 1:15e,14s 1:15f,14s 1:15g,14s 1:15h,14s 1:15i,14s 2:15k,14s 1:15l,14s 1:15m,14s 1:1\
    5n,14s 1:15o,14s 2:15q,14s 2:15s,14s 1:15t,14s 2:15v,14s 1:15w,14s 2:15y,14s 1:15z,14s 1:160\
    ,14s 1:161,14s 1:162,14s 1:15h,14p 1:15d,14v 1:15n,14v 1:15w,14v 47g:1huh,1hve 2:1huj,1hve f\
    :1hut,1hve 3n:1hyp,1hyf 1:1hyq,1hyf f0:1idj,1ida 1:1idj,1idz a7:1int,1inu 1:1int,1ink 2:1int\
    ,1inx 70:1iuw,1iun 1:1iux,1iun 112b:2jx3,2jxh 1:2jx4,2jxh 1:2jx4,2jxh,2jxq 1:2jx4,2jxh,2jxr \
    1:2jx4,2jxh,2jxs 1:2jx4,2jxh,2jxt 1:2jx4,2jxh,2jxu 2f:2jzt,2jxh 1:2jzu,2jxh 1:2jzt,2jxh,2jxq\
     1:2jzu,2jxh,2jxq 1:2jzt,2jxh,2jxr 1:2jzu,2jxh,2jxr 1m4g:fgd 1:fg8 1:fgh 1:2tcy 1:fog 1:fqm \
    1:fqz 1:fsy 1:fwa 1:fx5 1:fzb 1:fyn 1:ae6 1:2ud6 1:g25 1:g2c 1:g2s 1:g3b 1:2u58 1:aex 1:g2v \
    1:g3x 1:2u6j 1:g47 1:g4k 1:fkc 1:g4s 1:g51 1:3ly7 1:g6t 1:g77 1:afz 1:g8r 1:g92 1:gaa 1:gaf \
    1:ahh 1:gcn 1:gcp 1:gdg 1:ge2 1:ged 1:gee 1:gev 1:gg9 1:ggh 1:ggq 1:ghf 1:ghp 1:ghr 1:ghr 1:\
    ghr 1:2v58 1:m7k 1:gju 1:gkf 1:2vdv 1:gkr 1:gkx 1:gli 1:gpq 1:gmw 1:gnc 1:go8 1:gpu 1:gs6 1:\
    gsw 1:gur 1:gv7 1:gw4 1:gw4 1:gwp 1:gx7 1:gxf 1:gxu 1:h7a 1:gzq 1:h7b 1:h1t 1:h2s 1:g7b 1:hk\
    e 1:hce 1:hdg 1:he5 1:haj 1:hf6 1:hf5 1:hik 1:2x9g 1:hki 1:hkn 1:hl2 1:hlm 1:hlu 1:hnm 1:2xm\
    0 1:2xnu 1:hrg 1:hsr 1:ht3 1:hqw 1:huu 1:aum 1:av0 1:hzc 1:i0u 1:i0u 1:2y88 1:i4j 1:i54 1:i5\
    j 1:i5v 1:2yhk 1:i67 1:i6e 1:itv 1:i76 1:ayp 1:i8w 1:i9a 1:ibk 1:ia5 1:2z1g 1:if7 1:2z1i 1:i\
    ge 1:igb 1:igs 1:ijl 1:ijm 1:b3j 1:ikd 1:ilk 1:im5 1:ind 1:b4y 1:2zr7 1:b5o 1:ipc 1:ipf 1:ip\
    i 1:iq2 1:3pg2 1:iri 1:3035 1:3035 1:poh 1:isi 1:isi 1:b7r 1:335k 1:3cgq 1:iua 1:iuj 1:b8j 1\
    :ivu 1:ix9 1:ixj 1:iyh 1:j29 1:bay 1:ba4 1:j2s 1:30t0 1:j47 1:j7s 1:j7w 1:j7y 1:j7w 1:j96 1:\
    j9q 1:jaq 1:jac 1:jan 1:jby 1:jci 1:jcm 1:jdc 1:jdn 1:jfh 1:jht 1:jis 1:jm8 1:31n0 1:jlp 1:j\
    jw 1:jmw 1:jnn 1:jqc 1:31td 1:js2 1:jph 1:jop 1:bhq 1:ju1 1:jum 1:jvh 1:juf 1:bjg 1:k0f 1:k1\
    8 1:32mi 1:k4j 1:kc8 1:k7d 1:bo9 1:k9d 1:bns 1:bms 1:g42 1:g45 1:kcg 1:k9o 1:pf1 1:deh 1:kd3\
     1:kd7 1:kdd 1:kf2 1:ker 1:33cz 1:bpl 1:kje 1:kg5 1:klu 1:kn9 1:33hp 1:kni 1:kkf 1:kr8 1:brx\
     1:ksi 1:kv7 1:kx6 1:l2g 1:33xf 1:l3v 1:bvc 1:l5t 1:34br 1:l78 1:bwu 1:l82 1:l9b 1:la2 1:la3\
     1:34p9 1:2yvf 1:34sa 1:le6 1:354s 1:lhb 1:lhp 1:lev 1:ljq 1:lku 1:lmf 1:lkx 1:lm1 1:lmg 1:l\
    mt 1:357i 1:lkk 1:lrj 1:lta 1:c37 1:lvv 1:lvr 1:35jl 1:lq1 1:m0e 1:35ni 1:35ou 1:m2u 1:m61 1\
    :m5a 1:m57 1:c5y 1:m6i 1:m7x 1:m7r 1:m99 1:2u5h 1:mdh 1:368z 1:mfw 1:36i3 1:mjs 1:mk5 1:mkw \
    1:36yw 1:mm8 1:mmt 1:3779 1:37dg 1:mt6 1:mtn 1:cdo 1:mud 1:ce0 1:ce0 1:myv 1:mzg 1:n01 1:n0l\
     1:n2i 1:cgr 1:n50 1:386u 1:n5q 1:389e 1:n74 1:2zrz 1:nbk 1:38v5 1:38vs 1:38zo 1:cn0 1:cnc 1\
    :nhw 1:394j 1:394i 1:395l 1:396b 1:nj2 1:nj3 1:nj3 1:nka 1:cop 1:nm3 1:cp2 1:cra 1:39r1 1:nr\
    i 1:nt8 1:nv0 1:ctf 1:3a5i 1:nyu 1:3a8q 1:3a9x 1:o0f 1:o2z 1:cvj 1:o5c 1:o5m 1:o5r 1:3at8 1:\
    3b1j 1:3b1j 1:oa6 1:d1e 1:3b8r 1:og6 1:og9 1:d2f 1:3beo 1:onm 1:d5s 1:oo8 1:oo3 1:oow 1:3c06\
     1:orn 1:d8h 1:ouf 1:ow2 1:oxx 1:d9w 1:3ciw 1:3cjr 1:dax 1:3cnt 1:p6i 1:3cqm 1:p79 1:pa2 1:p\
    ad 1:3d22 1:3d43 1:pcw 1:3d7s 1:pdc 1:33a7 1:ded 1:pf6 1:phf 1:dfv 1:pj2 1:hx1 1:3dlz 1:3dmd\
     1:33bn 1:33bw 1:poh 1:pok 1:sda 1:dij 1:psh 1:psb 1:pst 1:gc3 1:ptd 1:ptf 1:ptp 1:puu 1:3eb\
    g 1:put 1:pwd 1:pyb 1:q0d 1:pwj 1:q0t 1:q1z 1:q53 1:pxv 1:q16 1:q18 1:q1o 1:3eie 1:3eqz 1:3e\
    mt 1:dnv 1:q9d 1:q9f 1:qae 1:3g0a 1:qck 1:3f3g 1:dp9 1:dpd 1:3f75 1:3ff6 1:dpn 1:qj4 1:qjg 1\
    :qjr 1:qjt 1:qll 1:qko 1:qoe 1:qn6 1:qrd 1:qp4 1:qqz 1:qrq 1:dsn 1:qu9 1:qv5 1:dtl 1:qxs 1:q\
    xv 1:3giv 1:r13 1:r1a 1:dv9 1:r22 1:aez 1:3gz2 1:3h46 1:dz2 1:dzb 1:rds 1:rfx 1:rka 1:rpx 1:\
    3hrc 1:rsb 1:rsx 1:rvf 1:rxz 1:3i9b 1:2upw 1:s0b 1:rzw 1:s1c 1:2uvy 1:s7o 1:sag 1:3jki 1:3jl\
    9 1:sk4 1:smp 1:snl 1:3ju6 1:snv 1:svs 1:t07 1:t08 1:sxo 1:t89 1:t91 1:3ksa 1:tjf 1:ej9 1:tk\
    n 1:3l2v 1:eli 1:ts3 1:iia 1:tur 1:3ltx 1:3lzu 1:epa 1:epi 1:u00 1:3mdm 1:er6 1:3mhi 1:u17 1\
    :u17 1:u21 1:3mpi 1:u76 1:eur 1:u95 1:ucn 1:ude 1:uf2 1:ez2 1:3nsg 1:umq 1:uv4 1:v0d 1:f66 1\
    :f71 1:v3b 1:3owe 1:f7c 1:3oxx 1:3p5a 1:3p8x 1:vcr 1:f9y 1:veh 1:vem 1:vet 1:vf3 1:vfa 1:vgb\
     1:3pxc
    """
}
