//! A crop's tokens are those of its patches in the whole picture: positions go with the place.

use burn::backend::Flex;
use burn::tensor::{Distribution, Tensor};
use clip_vit::{ClipSpecBuilder, Precision, RandomWeights, VisionBackbone, VisionTower};

type Tokens = Tensor<Flex, 3>;

fn largest_difference(a: Tokens, b: Tokens) -> f32 {
    (a - b).abs().max().into_scalar()
}

#[test]
fn a_crop_has_the_tokens_of_its_place() {
    let spec = ClipSpecBuilder::new().vision(4, 3, 16, 1).embed(8).build().unwrap();
    let device = Default::default();
    let tower =
        VisionTower::<Flex>::load(&spec, &RandomWeights::new(2), Precision::F32, &device).unwrap();
    let picture = Tensor::random([1, 3, 12, 12], Distribution::Default, &device);
    let whole = tower.embed(picture.clone());
    let same = tower.embed_crops(picture.clone(), &[[0, 0]]);
    assert!(largest_difference(whole.clone(), same) < 1e-6);

    let crop = picture.narrow(2, 4, 8).narrow(3, 4, 8);
    let crops = Tensor::cat(vec![crop.clone(), crop], 0);
    let tokens = tower.embed_crops(crops, &[[1, 1], [0, 0]]);
    let places = Tensor::from_ints([0, 5, 6, 8, 9], &device);
    let in_place = whole.select(1, places);
    let at = |index: usize| tokens.clone().narrow(0, index, 1);
    assert!(largest_difference(at(0), in_place.clone()) < 1e-6);
    assert!(largest_difference(at(1), in_place) > 1e-2, "another place has other positions");
}
